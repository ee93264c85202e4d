"""AMD SEV-SNP with VMPLs: what a guest, its firmware and its hypervisor share (APM Vol. 2, 15.34 to 15.36)."""
