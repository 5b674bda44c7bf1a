/* A network transmit ring. */

/* Takes an id off the list; there is one, as there is room in the ring. */
static inline uint16_t table_insert(struct table *table, uint64_t value)
{
    uint16_t id = table->first;
    table->first = table->next[id];
    table->used[id] = 1;
    table->value[id] = value;
    return id;
}

/* Gives an id back that the backend named, and what it stood for. */
static inline int table_complete(struct table *table, uint64_t id, uint64_t *value)
{
    if (id >= MOST || !table->used[id])
        return 0;
    table->used[id] = 0;
    table->next[id] = table->first;
    table->first = id;
    *value = table->value[id];
    return 1;
}

static void table_init(struct table *table)
{
    unsigned int id;
    memset(table, 0, sizeof(*table));
    for (id = 0; id < MOST; id++)
        table->next[id] = id + 1;
}

static inline void net_fill(struct netif_tx_request *request, const struct packet *packet, struct table *table)
{
    request->gref = packet->gref;
    request->offset = packet->offset;
    request->flags = packet->flags;
    request->id = table ? table_insert(table, packet->id) : packet->id;
    request->size = packet->length;
}

static inline int net_send(netif_tx_front_ring_t *ring, const struct packet *packets, unsigned int count, struct table *table)
{
    RING_IDX prod = ring->req_prod_pvt;
    unsigned int i;
    int notify;

    if (RING_FREE_REQUESTS(ring) < count)
        return -1;
    for (i = 0; i < count; i++) {
        const struct packet *packet = &packets[i];
        net_fill(RING_GET_REQUEST(ring, prod++), packet, table);
    }
    ring->req_prod_pvt = prod;
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(ring, notify);
    return notify;
}

static inline int net_reap(netif_tx_front_ring_t *ring, struct outcome *outcome, struct table *table)
{
    struct netif_tx_response response;
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
            if (response.status != NETIF_RSP_OKAY)
                sum.failed++;
            sum.ids += id;
        }
        ring->rsp_cons = cons;
        RING_FINAL_CHECK_FOR_RESPONSES(ring, work);
    } while (work);
    *outcome = sum;
    return 0;
}

NOINLINE int counted_send_net(netif_tx_front_ring_t *ring, const struct packet *packets, unsigned int count)
{
    return net_send(ring, packets, count, NULL);
}

NOINLINE int counted_reap_net(netif_tx_front_ring_t *ring, struct outcome *outcome)
{
    return net_reap(ring, outcome, NULL);
}

/* One at a time, without the loop that one does not need. */
NOINLINE int counted_send_one_net(netif_tx_front_ring_t *ring, const struct packet *packet)
{
    int notify;

    if (RING_FULL(ring))
        return -1;
    net_fill(RING_GET_REQUEST(ring, ring->req_prod_pvt++), packet, NULL);
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(ring, notify);
    return notify;
}

NOINLINE int counted_send_net_ids(netif_tx_front_ring_t *ring, const struct packet *packets, unsigned int count, struct table *table)
{
    return net_send(ring, packets, count, table);
}

NOINLINE int counted_reap_net_ids(netif_tx_front_ring_t *ring, struct outcome *outcome, struct table *table)
{
    return net_reap(ring, outcome, table);
}

/* Answers what is there; every sixteenth packet or so is dropped. */
static NOINLINE void net_backend(netif_tx_back_ring_t *ring)
{
    struct netif_tx_request request;
    struct netif_tx_response *response;
    int work;

    do {
        while (RING_HAS_UNCONSUMED_REQUESTS(ring)) {
            xen_rmb();
            RING_COPY_REQUEST(ring, ring->req_cons++, &request);
            response = RING_GET_RESPONSE(ring, ring->rsp_prod_pvt++);
            response->id = request.id;
            response->status = request.size % 16 == 5 ? NETIF_RSP_DROPPED : NETIF_RSP_OKAY;
        }
        RING_FINAL_CHECK_FOR_REQUESTS(ring, work);
    } while (work);
    RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(ring, work);
}

static void net(unsigned int batch, unsigned int rounds, int ids, struct outcome *outcome)
{
    static struct packet packets[MOST];
    static struct table table;
    netif_tx_sring_t *shared = aligned_alloc(4096, 4096);
    netif_tx_front_ring_t front;
    netif_tx_back_ring_t back;
    unsigned int i;
    int result;

    if (!shared || batch > MOST)
        exit(2);
    memset(shared, 0, 4096);
    table_init(&table);
    XEN_FRONT_RING_INIT(&front, shared, 4096);
    BACK_RING_INIT(&back, shared, 4096);
    for (i = 0; i < MOST; i++)
        packets[i] = (struct packet){ .id = i, .length = 60 + i, .gref = 8 + i, .offset = i % 64, .flags = i & 1 };
    while (rounds--) {
        if (ids)
            result = counted_send_net_ids(&front, packets, batch, &table);
        else if (batch == 1)
            result = counted_send_one_net(&front, packets);
        else
            result = counted_send_net(&front, packets, batch);
        if (result < 0)
            exit(3);
        notified += result;
        net_backend(&back);
        result = ids ? counted_reap_net_ids(&front, outcome, &table) : counted_reap_net(&front, outcome);
        if (result < 0)
            exit(4);
    }
}
