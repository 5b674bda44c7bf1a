/*
 * A process that is one end of a ring.
 *
 *     end PROTOCOL BYTES
 *
 * has BYTES of ring memory and obeys the commands on its standard input. A command is a letter, a number, and for some a payload;
 * the answer is a number, for some a payload, and the whole memory as it is then. All numbers are of 32 bits, in the host's order.
 *
 *     m          payload: memory     take this as the content of the memory
 *     i          initialise the memory and a front end
 *     f index    a front end that attaches at an index         b index    a back end
 *     p  / q     payload: message    put a request / response: 1, or 0 if there was no room
 *     n  / o     publish requests / responses: whether to notify
 *     t  / u     take a request / response: 1 with a payload, or 0
 *     s  / r     sleep until so many more requests / responses: 1 if there is work instead
 */
#include <stdio.h>
#include <stdlib.h>

#include "end.h"
#include "fill.h"

END(netif_tx, struct netif_tx_request, struct netif_tx_response);
END(netif_rx, struct netif_rx_request, struct netif_rx_response);
END(blkif, struct blkif_request, struct blkif_response);
END(small, struct small_request, struct small_response);

static const struct operations *find(const char *protocol)
{
    if (!strcmp(protocol, "netif_tx")) return &netif_tx_operations;
    if (!strcmp(protocol, "netif_rx")) return &netif_rx_operations;
    if (!strcmp(protocol, "blkif")) return &blkif_operations;
    if (!strcmp(protocol, "small")) return &small_operations;
    fprintf(stderr, "no protocol %s\n", protocol);
    exit(2);
}

/* Ends the process with its input: the test has what it wants. */
static void get(void *into, size_t size)
{
    if (fread(into, 1, size, stdin) != size)
        exit(feof(stdin) ? 0 : 3);
}

static void give(const void *from, size_t size)
{
    if (fwrite(from, 1, size, stdout) != size)
        exit(3);
}

int main(int argc, char **argv)
{
    const struct operations *end = find(argc == 3 ? argv[1] : "");
    size_t size = strtoul(argv[2], NULL, 10);
    void *memory = aligned_alloc(4096, size);
    _Alignas(8) unsigned char message[256] = {0};

    if (!memory)
        return 3;
    memset(memory, 0, size);
    for (;;) {
        struct { uint32_t letter, number; } command;
        uint32_t answer = 0;
        size_t payload = 0;

        get(&command, sizeof(command));
        switch (command.letter) {
        case 'm': get(memory, size); break;
        case 'i': end->front_init(memory, size); break;
        case 'f': end->front_attach(memory, size, command.number); break;
        case 'b': end->back_attach(memory, size, command.number); break;
        case 'p': get(message, end->request); answer = end->put_request(message); break;
        case 'q': get(message, end->response); answer = end->put_response(message); break;
        case 'n': answer = end->publish_requests(); break;
        case 'o': answer = end->publish_responses(); break;
        case 't': answer = end->take_request(message); payload = answer ? end->request : 0; break;
        case 'u': answer = end->take_response(message); payload = answer ? end->response : 0; break;
        case 's': answer = !!end->sleep_for_requests(command.number); break;
        case 'r': answer = !!end->sleep_for_responses(command.number); break;
        default: fprintf(stderr, "no command %u\n", command.letter); return 2;
        }
        give(&answer, sizeof(answer));
        give(message, payload);
        give(memory, size);
        fflush(stdout);
    }
}
