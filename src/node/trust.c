#include "node/peers.h"
#include "node/state.h"
#include "store/digest.h"

#include <string.h>

#define SECOND_US       UINT64_C(1000000)
#define TOKEN_EPOCH_US  (1200 * SECOND_US) /* two are taken: a token lives 20 to 40 minutes */
#define VALIDATED_US    (2400 * SECOND_US)
#define EXTENDED_US     (600 * SECOND_US)
#define NEW_US          (60 * SECOND_US)
#define EXTENDED_ROUNDS UINT64_C(3) /* of probes of all members, where they take longer */

static uint64_t later(uint64_t one_us, uint64_t other_us)
{
    return one_us > other_us ? one_us : other_us;
}

bool node_trusts_address(const struct node *node, const struct address *address)
{
    return address_in_ranges(address, node->options.trust, node->options.trust_count);
}

bool node_takes_plain(const struct node *node, const struct address *address)
{
    return node->options.cluster_id == 0
           || address_in_ranges(address, node->options.plain_peers,
                                node->options.plain_peers_count);
}

bool node_trusts(const struct node *node, const struct peer *peer, struct moment now)
{
    if (peer->validated_us != 0 && now.mono_us - peer->validated_us < VALIDATED_US) {
        return true;
    }
    return node_trusts_address(node, &peer->address);
}

bool node_has_reached(const struct node *node, const struct peer *peer, struct moment now)
{
    return peer->heard_us != 0 && node_trusts(node, peer, now);
}

/* Of a thousand members a probe visits each in a thousand seconds. */
uint64_t node_extended_us(const struct node *node)
{
    return later(EXTENDED_US,
                 EXTENDED_ROUNDS * peers_members(node->peers) * node->options.probe_interval_us);
}

bool node_speaks_extended(const struct node *node, const struct peer *peer, struct moment now)
{
    return peer->level > 0 && !node->options.plain_only && peer->extended_us != 0
           && now.mono_us - peer->extended_us < node_extended_us(node)
           && node_trusts(node, peer, now);
}

void node_token(const struct node *node, struct moment now, const struct address *address,
                unsigned epoch, uint8_t token[WIRE_TOKEN_BYTES])
{
    const uint64_t number = now.mono_us / TOKEN_EPOCH_US - epoch;
    uint8_t text[sizeof address->ip + 2 + 8];
    uint64_t hash;

    memcpy(text, address->ip, sizeof address->ip);
    text[16] = (uint8_t)(address->port >> 8);
    text[17] = (uint8_t)address->port;
    for (unsigned i = 0; i < 8; i++) {
        text[18 + i] = (uint8_t)(number >> (8 * i));
    }
    hash = hash_sip(node->options.token_secret, (struct bytes){ text, sizeof text });
    for (unsigned i = 0; i < WIRE_TOKEN_BYTES; i++) {
        token[i] = (uint8_t)(hash >> (8 * i));
    }
}

bool node_is_token(const struct node *node, struct moment now, const struct address *address,
                   const uint8_t echo[WIRE_TOKEN_BYTES])
{
    uint8_t token[WIRE_TOKEN_BYTES];

    for (unsigned epoch = 0; epoch < 2; epoch++) {
        node_token(node, now, address, epoch, token);
        if (memcmp(token, echo, sizeof token) == 0) {
            return true;
        }
    }
    return false;
}

bool node_is_new(const struct node *node, struct moment now)
{
    return now.mono_us - node->alone_us < NEW_US;
}

bool node_has_extended(struct node *node, struct moment now)
{
    if (!node->has_extended_known) {
        node->has_extended_known = true;
        node->has_extended = false;
        for (uint32_t i = 0; i < peers_members(node->peers) && !node->has_extended; i++) {
            node->has_extended = node_speaks_extended(node, peers_member(node->peers, i), now);
        }
    }
    return node->has_extended;
}

struct bytes node_presence_key(const struct address *address, uint8_t key[NODE_PRESENCE_KEY_MAX])
{
    char text[ADDRESS_TEXT_MAX];
    const size_t size = address_to_text(address, text);

    key[0] = 'n';
    key[1] = ':';
    memcpy(key + 2, text, size);
    return (struct bytes){ key, size + 2 };
}

uint64_t node_peer_id(const struct node *node, const struct address *address)
{
    uint8_t key[NODE_PRESENCE_KEY_MAX];

    return digest_key_hash(node->options.cluster_id, node_presence_key(address, key));
}
