/* #VC: what the processor does not let the hypervisor do by itself. */
#pragma once
#include "sdk.h"

/* CPUID from the CPUID page, ports, MSRs and the like through the GHCB; other codes are the probe's, or end the run. */
void vc_handler(struct trap_frame *f);
