#include "net/backlog.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static struct backlog_lane *lane_of(struct backlog *backlog, const struct address *from)
{
    uint64_t high;
    uint64_t low;

    memcpy(&high, from->ip, sizeof high);
    memcpy(&low, from->ip + sizeof high, sizeof low);
    return &backlog->lanes[hash_mix(hash_mix(backlog->secret ^ high, low), from->port)
                           % BACKLOG_LANES];
}

/* What a datagram takes: what malloc() keeps beside it is about its own head once more. */
static size_t datagram_bytes(size_t size)
{
    return 2 * sizeof(struct backlog_datagram) + size;
}

/* Take a lane's oldest out; its turn is over. */
static struct backlog_datagram *lane_take(struct backlog *backlog, struct backlog_lane *lane)
{
    struct backlog_datagram *datagram = STAILQ_FIRST(&lane->datagrams);
    const size_t bytes = datagram_bytes(datagram->size);

    STAILQ_REMOVE_HEAD(&lane->datagrams, link);
    lane->bytes -= bytes;
    backlog->bytes -= bytes;
    if (STAILQ_EMPTY(&lane->datagrams)) {
        TAILQ_REMOVE(&backlog->turns, lane, turn);
    }
    return datagram;
}

static struct backlog_lane *lane_longest(struct backlog *backlog)
{
    struct backlog_lane *longest = TAILQ_FIRST(&backlog->turns);
    struct backlog_lane *lane;

    for (lane = longest; lane != NULL; lane = TAILQ_NEXT(lane, turn)) {
        longest = lane->bytes > longest->bytes ? lane : longest;
    }
    return longest;
}

void backlog_init(struct backlog *backlog, uint64_t secret)
{
    *backlog = (struct backlog){ .secret = secret };
    TAILQ_INIT(&backlog->turns);
    for (unsigned i = 0; i < BACKLOG_LANES; i++) {
        STAILQ_INIT(&backlog->lanes[i].datagrams);
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
    struct backlog_lane *lane = lane_of(backlog, from);
    struct backlog_datagram *kept = malloc(sizeof *kept + datagram.size);
    const size_t bytes = datagram_bytes(datagram.size);
    unsigned dropped = 0;

    if (kept == NULL) {
        return 1;
    }
    kept->from = *from;
    kept->size = datagram.size;
    memcpy(kept->data, datagram.data, datagram.size);
    if (STAILQ_EMPTY(&lane->datagrams)) {
        TAILQ_INSERT_TAIL(&backlog->turns, lane, turn);
    }
    STAILQ_INSERT_TAIL(&lane->datagrams, kept, link);
    lane->bytes += bytes;
    backlog->bytes += bytes;
    while (backlog->bytes > BACKLOG_BYTES_MAX) {
        free(lane_take(backlog, lane_longest(backlog)));
        dropped++;
    }
    return dropped;
}

struct backlog_datagram *backlog_take(struct backlog *backlog)
{
    struct backlog_lane *lane = TAILQ_FIRST(&backlog->turns);
    struct backlog_datagram *datagram;

    if (lane == NULL) {
        return NULL;
    }
    datagram = lane_take(backlog, lane);
    if (!STAILQ_EMPTY(&lane->datagrams)) {
        TAILQ_REMOVE(&backlog->turns, lane, turn);
        TAILQ_INSERT_TAIL(&backlog->turns, lane, turn);
    }
    return datagram;
}
