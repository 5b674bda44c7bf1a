/* The protocols whose rings are compared, with the barriers that ring.h asks its user for. */
#ifndef PROTOCOLS_H
#define PROTOCOLS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Without it the headers would be those of a guest of 2005. */
#define __XEN_INTERFACE_VERSION__ __XEN_LATEST_INTERFACE_VERSION__
#include <xen/xen.h>

/* The compiler's own fences: the same instructions as the macros of Linux and Mini-OS on each architecture. */
#define xen_mb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)

#include <xen/io/ring.h>
#include <xen/io/netif.h>
#include <xen/io/blkif.h>

/* No protocol of Xen's: the smallest slots, and a response that is larger than its request. */
struct small_request {
    uint32_t value;
};
struct small_response {
    uint32_t value[3];
};
DEFINE_RING_TYPES(small, struct small_request, struct small_response);

#endif
