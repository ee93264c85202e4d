"""An initial RAM disk for Linux guests: static busybox, and an init that runs what it is told."""
