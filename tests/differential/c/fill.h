/*
 * Fills in messages field by field, as drivers do: fill_X. used_X tells how many bytes of the slot a driver writes, the rest stays as
 * it was.
 */
#ifndef FILL_H
#define FILL_H

#include "protocols.h"

#define FILL(name, message) \
    static void fill_##name(struct message *to, const struct message *from)
#define USED(name, message, bytes) \
    static size_t used_##name(const struct message *from) { (void)from; return bytes; }

USED(netif_tx_request, netif_tx_request, sizeof(*from))
FILL(netif_tx_request, netif_tx_request)
{
    to->gref = from->gref;
    to->offset = from->offset;
    to->flags = from->flags;
    to->id = from->id;
    to->size = from->size;
}

USED(netif_tx_response, netif_tx_response, sizeof(*from))
FILL(netif_tx_response, netif_tx_response)
{
    to->id = from->id;
    to->status = from->status;
}

USED(netif_rx_request, netif_rx_request, sizeof(*from))
FILL(netif_rx_request, netif_rx_request)
{
    to->id = from->id;
    to->pad = from->pad;
    to->gref = from->gref;
}

USED(netif_rx_response, netif_rx_response, sizeof(*from))
FILL(netif_rx_response, netif_rx_response)
{
    to->id = from->id;
    to->offset = from->offset;
    to->flags = from->flags;
    to->status = from->status;
}

USED(blkif_request, blkif_request, offsetof(struct blkif_request, seg) + from->nr_segments * sizeof(from->seg[0]))
FILL(blkif_request, blkif_request)
{
    int i;

    to->operation = from->operation;
    to->nr_segments = from->nr_segments;
    to->handle = from->handle;
    to->id = from->id;
    to->sector_number = from->sector_number;
    for (i = 0; i < from->nr_segments; i++) {
        to->seg[i].gref = from->seg[i].gref;
        to->seg[i].first_sect = from->seg[i].first_sect;
        to->seg[i].last_sect = from->seg[i].last_sect;
    }
}

USED(blkif_response, blkif_response, sizeof(*from))
FILL(blkif_response, blkif_response)
{
    to->id = from->id;
    to->operation = from->operation;
    to->status = from->status;
}

USED(small_request, small_request, sizeof(*from))
FILL(small_request, small_request)
{
    to->value = from->value;
}

USED(small_response, small_response, sizeof(*from))
FILL(small_response, small_response)
{
    memcpy(to->value, from->value, sizeof(to->value));
}

#endif
