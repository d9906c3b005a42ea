#include "net/backlog.h"

#include <stdlib.h>
#include <string.h>

static struct backlog_host *host_of(struct backlog *backlog, const struct address *from)
{
    const struct address host = address_host(from);

    return &backlog->hosts[address_hash(&host, backlog->secret) % BACKLOG_HOSTS];
}

static struct backlog_lane *lane_of(const struct backlog *backlog, struct backlog_host *host,
                                    const struct address *from)
{
    return &host->lanes[address_hash(from, backlog->secret) % BACKLOG_LANES];
}

/* What a datagram takes: what malloc() keeps beside it is about its own head once more. */
static size_t datagram_bytes(size_t size)
{
    return 2 * sizeof(struct backlog_datagram) + size;
}

/* Take a lane's oldest out. */
static struct backlog_datagram *lane_take(struct backlog *backlog, struct backlog_host *host,
                                          struct backlog_lane *lane)
{
    struct backlog_datagram *datagram = STAILQ_FIRST(&lane->datagrams);
    const size_t bytes = datagram_bytes(datagram->size);

    STAILQ_REMOVE_HEAD(&lane->datagrams, link);
    lane->bytes -= bytes;
    host->bytes -= bytes;
    backlog->bytes -= bytes;
    if (STAILQ_EMPTY(&lane->datagrams)) {
        TAILQ_REMOVE(&host->turns, lane, turn);
    }
    if (TAILQ_EMPTY(&host->turns)) {
        TAILQ_REMOVE(&backlog->turns, host, turn);
    }
    return datagram;
}

/* Make room: the oldest datagram of the longest lane of the host that keeps most goes. */
static void longest_drop(struct backlog *backlog)
{
    struct backlog_host *most = TAILQ_FIRST(&backlog->turns);
    struct backlog_lane *longest;
    struct backlog_host *host;
    struct backlog_lane *lane;

    TAILQ_FOREACH(host, &backlog->turns, turn)
    {
        most = host->bytes > most->bytes ? host : most;
    }
    longest = TAILQ_FIRST(&most->turns);
    TAILQ_FOREACH(lane, &most->turns, turn)
    {
        longest = lane->bytes > longest->bytes ? lane : longest;
    }
    free(lane_take(backlog, most, longest));
}

void backlog_init(struct backlog *backlog, uint64_t secret)
{
    *backlog = (struct backlog){ .secret = secret };
    TAILQ_INIT(&backlog->turns);
    for (unsigned i = 0; i < BACKLOG_HOSTS; i++) {
        TAILQ_INIT(&backlog->hosts[i].turns);
        for (unsigned j = 0; j < BACKLOG_LANES; j++) {
            STAILQ_INIT(&backlog->hosts[i].lanes[j].datagrams);
        }
    }
}

void backlog_clear(struct backlog *backlog)
{
    struct backlog_datagram *datagram;

    while ((datagram = backlog_take(backlog)) != NULL) {
        free(datagram);
    }
}

unsigned backlog_put(struct backlog *backlog, const struct address *from, struct bytes datagram)
{
    struct backlog_host *host = host_of(backlog, from);
    struct backlog_lane *lane = lane_of(backlog, host, from);
    struct backlog_datagram *kept = malloc(sizeof *kept + datagram.size);
    const size_t bytes = datagram_bytes(datagram.size);
    unsigned dropped = 0;

    if (kept == NULL) {
        return 1;
    }
    kept->from = *from;
    kept->size = datagram.size;
    memcpy(kept->data, datagram.data, datagram.size);
    if (TAILQ_EMPTY(&host->turns)) {
        TAILQ_INSERT_TAIL(&backlog->turns, host, turn);
    }
    if (STAILQ_EMPTY(&lane->datagrams)) {
        TAILQ_INSERT_TAIL(&host->turns, lane, turn);
    }
    STAILQ_INSERT_TAIL(&lane->datagrams, kept, link);
    lane->bytes += bytes;
    host->bytes += bytes;
    backlog->bytes += bytes;
    while (backlog->bytes > BACKLOG_BYTES_MAX) {
        longest_drop(backlog);
        dropped++;
    }
    return dropped;
}

struct backlog_datagram *backlog_take(struct backlog *backlog)
{
    struct backlog_host *host = TAILQ_FIRST(&backlog->turns);
    struct backlog_datagram *datagram;
    struct backlog_lane *lane;

    if (host == NULL) {
        return NULL;
    }
    lane = TAILQ_FIRST(&host->turns);
    datagram = lane_take(backlog, host, lane);
    if (!STAILQ_EMPTY(&lane->datagrams)) {
        TAILQ_REMOVE(&host->turns, lane, turn);
        TAILQ_INSERT_TAIL(&host->turns, lane, turn);
    }
    if (!TAILQ_EMPTY(&host->turns)) {
        TAILQ_REMOVE(&backlog->turns, host, turn);
        TAILQ_INSERT_TAIL(&backlog->turns, host, turn);
    }
    return datagram;
}
