"""The ACPI tables of the PC, for guests that start without firmware (ACPI specification 6.4)."""
