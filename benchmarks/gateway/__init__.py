"""What the gateway costs beside nginx and HAProxy, measured: one backend, one generator, each proxy alone on a core."""
