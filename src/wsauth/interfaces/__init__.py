"""What services need from the world, as `typing.Protocol`, one per module."""
