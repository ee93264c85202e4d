"""KVM's VM planes as a VMM uses them: VM, planes, vCPUs and their run structures, with KVM's names, rules and errors.

Four published series define them differently; a `Dialect` says which is meant. What is KVM's own: one vCPU is one
thread of control for all its planes; plane 0's vCPU alone runs, and its run structure says which plane.
"""
