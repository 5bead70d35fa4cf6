"""What a connected user may say: read safely, judged message by message, attributed to who says it."""
