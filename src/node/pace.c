#include "node/pace.h"

#include "node/credit.h"
#include "node/peers.h"
#include "node/state.h"

#include <assert.h>

#define US_PER_S UINT64_C(1000000)

#define RTO_MIN_US     100000
#define RTO_MAX_US     3000000 /* a peer that slept and then acked seems far away */
#define RTT_ALL_MAX_US 1000000

struct pace {
    int64_t tokens; /* of the node's rate, in byte-microseconds; acks may take it below 0 */
    uint64_t filled_us;
    uint32_t srtt_us; /* over all peers; 0: none was measured */
};

static int64_t tokens_max(const struct node *node)
{
    return (int64_t)(pace_burst_bytes(node->options.bytes_per_second_max) * US_PER_S);
}

/* Byte-microseconds, so that no fraction of a byte is lost however often it is filled. */
static void tokens_fill(struct node *node, struct moment now)
{
    struct pace *pace = node->pace;
    const uint64_t rate = node->options.bytes_per_second_max;
    const int64_t most = tokens_max(node);
    uint64_t missing;
    uint64_t elapsed_us;

    if (now.mono_us <= pace->filled_us) {
        return;
    }
    /* More than the most it may have after the rate was lowered. */
    missing = pace->tokens < most ? (uint64_t)(most - pace->tokens) : 0;
    elapsed_us = now.mono_us - pace->filled_us;
    pace->filled_us = now.mono_us;
    if (elapsed_us > missing / rate) {
        pace->tokens = most;
    } else {
        pace->tokens += (int64_t)(elapsed_us * rate);
    }
}

bool pace_create(struct node *node, struct moment now)
{
    node->pace = mem_alloc_zeroed(node->mem, sizeof *node->pace);
    if (node->pace == NULL) {
        return false;
    }
    node->pace->tokens = tokens_max(node);
    node->pace->filled_us = now.mono_us;
    return true;
}

void pace_free(struct node *node)
{
    part_free(node, node->pace, sizeof *node->pace);
}

bool pace_rate_allows(struct node *node, struct moment now)
{
    tokens_fill(node, now);
    return node->pace->tokens > 0;
}

uint64_t pace_due_us(const struct node *node, struct moment now)
{
    const struct pace *pace = node->pace;
    uint64_t due_us = pace->filled_us;

    if (pace->tokens <= 0) {
        due_us += (uint64_t)-pace->tokens / node->options.bytes_per_second_max + 1;
    }
    return due_us > now.mono_us ? due_us : now.mono_us;
}

bool pace_credit_allows(struct node *node, const struct peer *peer, size_t size)
{
    const struct moment now = node->now;

    if (node_trusts(node, peer, now) || (peer->is_seed && size <= CREDIT_FLOOR_BYTES)
        || credit_room(node, now, &peer->address, &peer->credit) >= size) {
        return true;
    }
    refused_count(node, credit, &peer->address, 1);
    return false;
}

bool pace_window_allows(const struct peer *peer)
{
    const uint8_t window = peer->window < peer->window_theirs ? peer->window : peer->window_theirs;

    return peer->in_flight < window;
}

void pace_received(struct peer *peer, size_t size)
{
    credit_received(&peer->credit, size);
}

void pace_charge(struct node *node, struct moment now, size_t size)
{
    tokens_fill(node, now);
    node->pace->tokens -= (int64_t)(size + NODE_HEADER_BYTES) * (int64_t)US_PER_S;
    /* Acks leave without tokens: debt, but not without end. */
    if (node->pace->tokens < -tokens_max(node)) {
        node->pace->tokens = -tokens_max(node);
    }
}

void pace_sent(struct node *node, struct moment now, struct peer *peer, size_t size)
{
    pace_charge(node, now, size);
    if (!node_trusts(node, peer, now) && !(peer->is_seed && size <= CREDIT_FLOOR_BYTES)) {
        credit_spend(node, now, &peer->address, &peer->credit, size);
    }
}

/* One datagram more after a whole window was acked, half of it after a loss. */
void pace_acked(struct peer *peer)
{
    peer->window_acks++;
    if (peer->window_acks >= peer->window) {
        peer->window_acks = 0;
        if (peer->window < PACE_WINDOW_MAX) {
            peer->window++;
        }
    }
}

void pace_lost(struct peer *peer)
{
    peer->window_acks = 0;
    peer->window = peer->window / 2 < PACE_WINDOW_MIN ? PACE_WINDOW_MIN : peer->window / 2;
}

uint64_t pace_rto_us(const struct node *node, const struct peer *peer)
{
    const uint32_t srtt_us = peer->srtt_us == 0 ? node->pace->srtt_us : peer->srtt_us;
    const uint64_t rto_us = 4 * (uint64_t)srtt_us;

    if (rto_us > RTO_MAX_US) {
        return RTO_MAX_US;
    }
    return rto_us < RTO_MIN_US ? RTO_MIN_US : rto_us;
}

/* RFC 6298, section 2: an eighth of the new one, the first as it is. */
static uint32_t smoothed_us(uint32_t srtt_us, uint32_t rtt_us)
{
    const uint32_t mixed_us = srtt_us - srtt_us / 8 + rtt_us / 8;

    if (srtt_us == 0) {
        return rtt_us;
    }
    return mixed_us == 0 ? 1 : mixed_us;
}

void pace_measured(struct node *node, struct peer *peer, uint64_t rtt_us)
{
    const uint32_t us = rtt_us == 0 ? 1 : rtt_us > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt_us;

    peer->srtt_us = smoothed_us(peer->srtt_us, us);
    /* Capped: the round trip of a peer that slept says nothing of the others. */
    node->pace->srtt_us =
        smoothed_us(node->pace->srtt_us, us < RTT_ALL_MAX_US ? us : RTT_ALL_MAX_US);
}
