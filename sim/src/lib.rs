//! A simulated Xen hypervisor, to test the drivers of guest kernels on any host.
