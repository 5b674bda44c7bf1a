/*
 * What the macros of ring.h cost a frontend.
 *
 *     cost SCENARIO BATCH ROUNDS
 *
 * Each round sends a batch and reaps its responses; the backend between the two is not counted. valgrind counts the instructions
 * inside of counted_send and counted_reap. `src/bin/ring-cost` is the same over xen-shared-ring. Compilers copy two fields at once
 * where their order allows it, so both orders of a transfer's first two fields are counted: ID_FIRST chooses the other one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocols.h"

#define NOINLINE __attribute__((noinline, noclone))
#define MOST 256

/* What a network stack hands to its driver. */
struct packet {
    uint64_t id;
    uint32_t length, gref, offset, flags;
};

/* What a file system hands to its driver: one segment. The handle is the device's, and the same for all. */
#define HANDLE 51712

struct transfer {
#ifdef ID_FIRST
    uint64_t id, sector;
#else
    uint64_t sector, id;
#endif
    uint32_t gref;
    uint8_t first, operation, last;
};

/* What comes out of the responses. */
struct outcome {
    uint64_t failed, ids;
};

/* Which requests are in flight: the usual list of free ids, and a mark for those that are not on it. */
struct table {
    uint16_t next[MOST], first;
    uint8_t used[MOST];
    uint64_t value[MOST];
};

/* How often the backend was to be notified. */
static uint64_t notified;

#include "cost_net.h"
#include "cost_blk.h"

int main(int argc, char **argv)
{
    unsigned int batch, rounds;
    struct outcome outcome = {0, 0};

    if (argc != 4)
        return 2;
    batch = strtoul(argv[2], NULL, 10);
    rounds = strtoul(argv[3], NULL, 10);
    if (!strcmp(argv[1], "net"))
        net(batch, rounds, 0, &outcome);
    else if (!strcmp(argv[1], "net-ids"))
        net(batch, rounds, 1, &outcome);
    else if (!strcmp(argv[1], "blk"))
        blk(batch, rounds, 0, &outcome);
    else if (!strcmp(argv[1], "blk-ids"))
        blk(batch, rounds, 1, &outcome);
    else
        return 2;
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", notified, outcome.failed, outcome.ids);
    return 0;
}
