/* A block ring, with requests of one segment. */

static inline void blk_fill(struct blkif_request *request, const struct transfer *transfer, blkif_vdev_t handle, struct table *table)
{
    request->operation = transfer->operation;
    request->nr_segments = 1;
    request->handle = handle;
    request->id = table ? table_insert(table, transfer->id) : transfer->id;
    request->sector_number = transfer->sector;
    request->seg[0].gref = transfer->gref;
    request->seg[0].first_sect = transfer->first;
    request->seg[0].last_sect = transfer->last;
}

static inline int blk_send(blkif_front_ring_t *ring, const struct transfer *transfers, unsigned int count, blkif_vdev_t handle, struct table *table)
{
    RING_IDX prod = ring->req_prod_pvt;
    unsigned int i;
    int notify;

    if (RING_FREE_REQUESTS(ring) < count)
        return -1;
    for (i = 0; i < count; i++) {
        const struct transfer *transfer = &transfers[i];
        blk_fill(RING_GET_REQUEST(ring, prod++), transfer, handle, table);
    }
    ring->req_prod_pvt = prod;
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(ring, notify);
    return notify;
}

static inline int blk_reap(blkif_front_ring_t *ring, struct outcome *outcome, struct table *table)
{
    struct blkif_response response;
    struct outcome sum = *outcome;
    RING_IDX cons, prod;
    uint64_t id;
    int work;

    do {
        prod = ring->sring->rsp_prod;
        xen_rmb();
        for (cons = ring->rsp_cons; cons != prod; cons++) {
            RING_COPY_RESPONSE(ring, cons, &response);
            id = response.id;
            if (table && !table_complete(table, id, &id))
                return -1;
            if (response.status != BLKIF_RSP_OKAY)
                sum.failed++;
            sum.ids += id;
        }
        ring->rsp_cons = cons;
        RING_FINAL_CHECK_FOR_RESPONSES(ring, work);
    } while (work);
    *outcome = sum;
    return 0;
}

NOINLINE int counted_send_blk(blkif_front_ring_t *ring, const struct transfer *transfers, unsigned int count, blkif_vdev_t handle)
{
    return blk_send(ring, transfers, count, handle, NULL);
}

NOINLINE int counted_reap_blk(blkif_front_ring_t *ring, struct outcome *outcome)
{
    return blk_reap(ring, outcome, NULL);
}

/* One at a time, without the loop that one does not need. */
NOINLINE int counted_send_one_blk(blkif_front_ring_t *ring, const struct transfer *transfer, blkif_vdev_t handle)
{
    int notify;

    if (RING_FULL(ring))
        return -1;
    blk_fill(RING_GET_REQUEST(ring, ring->req_prod_pvt++), transfer, handle, NULL);
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(ring, notify);
    return notify;
}

NOINLINE int counted_send_blk_ids(blkif_front_ring_t *ring, const struct transfer *transfers, unsigned int count, blkif_vdev_t handle, struct table *table)
{
    return blk_send(ring, transfers, count, handle, table);
}

NOINLINE int counted_reap_blk_ids(blkif_front_ring_t *ring, struct outcome *outcome, struct table *table)
{
    return blk_reap(ring, outcome, table);
}

/* Answers what is there; every sixteenth request or so fails. */
static NOINLINE void blk_backend(blkif_back_ring_t *ring)
{
    struct blkif_request request;
    struct blkif_response *response;
    int work;

    do {
        while (RING_HAS_UNCONSUMED_REQUESTS(ring)) {
            xen_rmb();
            RING_COPY_REQUEST(ring, ring->req_cons++, &request);
            response = RING_GET_RESPONSE(ring, ring->rsp_prod_pvt++);
            response->id = request.id;
            response->operation = request.operation;
            response->status = request.sector_number % 16 == 5 ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY;
        }
        RING_FINAL_CHECK_FOR_REQUESTS(ring, work);
    } while (work);
    RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(ring, work);
}

static void blk(unsigned int batch, unsigned int rounds, int ids, struct outcome *outcome)
{
    static struct transfer transfers[MOST];
    static struct table table;
    blkif_sring_t *shared = aligned_alloc(4096, 4096);
    blkif_front_ring_t front;
    blkif_back_ring_t back;
    unsigned int i;
    int result;

    if (!shared || batch > MOST)
        exit(2);
    memset(shared, 0, 4096);
    table_init(&table);
    XEN_FRONT_RING_INIT(&front, shared, 4096);
    BACK_RING_INIT(&back, shared, 4096);
    for (i = 0; i < MOST; i++)
        transfers[i] = (struct transfer){ .id = i, .sector = 8 * i + i % 7, .gref = 8 + i, .operation = i & 1, .first = i % 4, .last = 7 };
    while (rounds--) {
        if (ids)
            result = counted_send_blk_ids(&front, transfers, batch, HANDLE, &table);
        else if (batch == 1)
            result = counted_send_one_blk(&front, transfers, HANDLE);
        else
            result = counted_send_blk(&front, transfers, batch, HANDLE);
        if (result < 0)
            exit(3);
        notified += result;
        blk_backend(&back);
        result = ids ? counted_reap_blk_ids(&front, outcome, &table) : counted_reap_blk(&front, outcome);
        if (result < 0)
            exit(4);
    }
}
