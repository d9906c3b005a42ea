#include "node/may.h"

#include "node/bounds.h"
#include "node/peers.h"
#include "node/state.h"

static bool has_control(struct bytes key)
{
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] < 0x20 || key.data[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

/* Prototypes of the two kinds must not meet: each kind's presence goes to its own kind only. */
static bool presence_may_go(const struct node *node, const struct peer *to,
                            const struct address *address)
{
    const struct peer *peer;

    if (address_compare(address, &to->address) == 0
        || (!address_is_ipv4(address) && address_is_ipv4(&to->address))) {
        return false;
    }
    if (address_compare(address, &node->options.self) == 0) {
        return true;
    }
    peer = peers_find(node->peers, address);
    if (peer == NULL || peer->state != PEER_ALIVE) {
        return false;
    }
    /* Of whom we know by others' word alone we do not know the kind. Those who send no ttl are
     * better off with us alone: each one's heartbeat keeps the other silent, and what has come
     * together in the meantime is sent in one datagram, too long for the other. */
    return peer->level > 0 || to->level > 0
           || (peer->dialect == DIALECT_TTL && to->dialect == DIALECT_TTL);
}

bool plain_may_get(const struct node *node, const struct peer *to, const struct entry *entry)
{
    struct bytes key;
    struct address address;

    /* They would send back what was before the deletion, for ever. A tombstone that was written to
     * in this turn is of no generation any more, and has no key all the same. */
    if (entry_generation(entry) > 0 || entry_dropped(entry)) {
        return false;
    }
    key = entry_key(entry);
    if (has_control(key)) {
        return false;
    }
    if (key.size < 2 || key.data[0] != 'n' || key.data[1] != ':') {
        return true;
    }
    return presence_address(key, &address) && presence_may_go(node, to, &address);
}
