"""What a hypervisor offers its guest without planes: `--paravirt`."""

AVAILABLE = ("none", "kvm")
