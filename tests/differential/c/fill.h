/* Fills in messages field by field, as drivers do. */
#ifndef FILL_H
#define FILL_H

#include "protocols.h"

#define FILL(name, message) \
    static void fill_##name(struct message *to, const struct message *from)

FILL(netif_tx_request, netif_tx_request)
{
    to->gref = from->gref;
    to->offset = from->offset;
    to->flags = from->flags;
    to->id = from->id;
    to->size = from->size;
}

FILL(netif_tx_response, netif_tx_response)
{
    to->id = from->id;
    to->status = from->status;
}

FILL(netif_rx_request, netif_rx_request)
{
    to->id = from->id;
    to->pad = from->pad;
    to->gref = from->gref;
}

FILL(netif_rx_response, netif_rx_response)
{
    to->id = from->id;
    to->offset = from->offset;
    to->flags = from->flags;
    to->status = from->status;
}

FILL(blkif_request, blkif_request)
{
    int i;

    to->operation = from->operation;
    to->nr_segments = from->nr_segments;
    to->handle = from->handle;
    to->id = from->id;
    to->sector_number = from->sector_number;
    for (i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++) {
        to->seg[i].gref = from->seg[i].gref;
        to->seg[i].first_sect = from->seg[i].first_sect;
        to->seg[i].last_sect = from->seg[i].last_sect;
    }
}

FILL(blkif_response, blkif_response)
{
    to->id = from->id;
    to->operation = from->operation;
    to->status = from->status;
}

FILL(small_request, small_request)
{
    to->value = from->value;
}

FILL(small_response, small_response)
{
    memcpy(to->value, from->value, sizeof(to->value));
}

#endif
