/*
 * One end of a ring, made of the macros of ring.h.
 *
 * END(name) defines the operations of both roles for the protocol `name`. Every operation is a function of the process's one ring.
 * A frontend of C is free to leave the padding of a message as it was. This one clears the message before it fills in the fields,
 * so that whole pages can be compared.
 */
#ifndef END_H
#define END_H

#include "protocols.h"

struct operations {
    size_t request, response;
    void (*front_init)(void *memory, size_t size);
    void (*front_attach)(void *memory, size_t size, RING_IDX index);
    void (*back_attach)(void *memory, size_t size, RING_IDX index);
    int (*put_request)(const void *from);
    int (*put_response)(const void *from);
    int (*publish_requests)(void);
    int (*publish_responses)(void);
    int (*take_request)(void *into);
    int (*take_response)(void *into);
    int (*sleep_for_requests)(RING_IDX more);
    int (*sleep_for_responses)(RING_IDX more);
};

/*
 * Sleeps until `more` messages are there, or as many as the peer can put: FINAL_CHECK where that is one, else the customised
 * version that ring.h talks of.
 */
#define SLEEP(ring, kind, event, cons, more, most, work) do {           \
    if ((more) == 1) {                                                  \
        RING_FINAL_CHECK_FOR_##kind(ring, work);                        \
        break;                                                          \
    }                                                                   \
    (work) = RING_HAS_UNCONSUMED_##kind(ring);                          \
    if (work) break;                                                    \
    (ring)->sring->event = (ring)->cons + at_most(more, (most) - (ring)->cons); \
    xen_mb();                                                           \
    (work) = RING_HAS_UNCONSUMED_##kind(ring);                          \
} while (0)

static inline RING_IDX at_most(RING_IDX more, RING_IDX most)
{
    return more < most ? more : most ? most : 1;
}

#define END(name, request_t, response_t)                                \
static name##_front_ring_t name##_front;                                \
static name##_back_ring_t name##_back;                                  \
                                                                        \
static void name##_front_init(void *memory, size_t size)                \
{                                                                       \
    name##_sring_t *shared = memory;                                    \
    XEN_FRONT_RING_INIT(&name##_front, shared, size);                   \
}                                                                       \
static void name##_front_attach(void *memory, size_t size, RING_IDX index) \
{                                                                       \
    name##_sring_t *shared = memory;                                    \
    FRONT_RING_ATTACH(&name##_front, shared, index, size);              \
}                                                                       \
static void name##_back_attach(void *memory, size_t size, RING_IDX index) \
{                                                                       \
    name##_sring_t *shared = memory;                                    \
    BACK_RING_ATTACH(&name##_back, shared, index, size);                \
}                                                                       \
static int name##_put_request(const void *from)                         \
{                                                                       \
    request_t *slot;                                                    \
    if (RING_FULL(&name##_front))                                       \
        return 0;                                                       \
    slot = RING_GET_REQUEST(&name##_front, name##_front.req_prod_pvt++); \
    memset(slot, 0, used_##name##_request(from));                       \
    fill_##name##_request(slot, from);                                  \
    return 1;                                                           \
}                                                                       \
static int name##_put_response(const void *from)                        \
{                                                                       \
    response_t *slot;                                                   \
    if (name##_back.rsp_prod_pvt == name##_back.req_cons)               \
        return 0;                                                       \
    slot = RING_GET_RESPONSE(&name##_back, name##_back.rsp_prod_pvt++); \
    memset(slot, 0, used_##name##_response(from));                      \
    fill_##name##_response(slot, from);                                 \
    return 1;                                                           \
}                                                                       \
static int name##_publish_requests(void)                                \
{                                                                       \
    int notify;                                                         \
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&name##_front, notify);         \
    return notify;                                                      \
}                                                                       \
static int name##_publish_responses(void)                               \
{                                                                       \
    int notify;                                                         \
    RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&name##_back, notify);         \
    return notify;                                                      \
}                                                                       \
static int name##_take_request(void *into)                              \
{                                                                       \
    if (!RING_HAS_UNCONSUMED_REQUESTS(&name##_back))                    \
        return 0;                                                       \
    xen_rmb();                                                          \
    RING_COPY_REQUEST(&name##_back, name##_back.req_cons++, (request_t *)into); \
    return 1;                                                           \
}                                                                       \
static int name##_take_response(void *into)                             \
{                                                                       \
    if (!RING_HAS_UNCONSUMED_RESPONSES(&name##_front))                  \
        return 0;                                                       \
    xen_rmb();                                                          \
    RING_COPY_RESPONSE(&name##_front, name##_front.rsp_cons++, (response_t *)into); \
    return 1;                                                           \
}                                                                       \
static int name##_sleep_for_requests(RING_IDX more)                     \
{                                                                       \
    int work;                                                           \
    name##_back_ring_t *ring = &name##_back;                            \
    SLEEP(ring, REQUESTS, req_event, req_cons, more, ring->sring->rsp_prod + RING_SIZE(ring), work); \
    return work;                                                        \
}                                                                       \
static int name##_sleep_for_responses(RING_IDX more)                    \
{                                                                       \
    int work;                                                           \
    name##_front_ring_t *ring = &name##_front;                          \
    SLEEP(ring, RESPONSES, rsp_event, rsp_cons, more, ring->sring->req_prod, work); \
    return work;                                                        \
}                                                                       \
static const struct operations name##_operations = {                    \
    sizeof(request_t), sizeof(response_t),                              \
    name##_front_init, name##_front_attach, name##_back_attach,         \
    name##_put_request, name##_put_response,                            \
    name##_publish_requests, name##_publish_responses,                  \
    name##_take_request, name##_take_response,                          \
    name##_sleep_for_requests, name##_sleep_for_responses,              \
}

#endif
