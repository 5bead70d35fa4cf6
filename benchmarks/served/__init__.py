"""What the whole server does under strain, measured: real `wsauth serve` processes, real sockets."""
