"""The Python API's views: machine, vCPUs, planes, registers, memory, hooks."""
