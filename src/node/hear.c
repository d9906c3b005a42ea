#include "node/hear.h"

#include "node/bounds.h"
#include "node/join.h"
#include "node/outbox.h"
#include "node/plain.h"
#include "node/presence.h"
#include "node/state.h"
#include "store/marks.h"
#include "store/pattern.h"

#include <assert.h>
#include <string.h>

#define TTL_MAX 3 /* of whatever we send */

static const uint8_t peers_pattern[] = { 'n', ':', '%' };

static bool elements_any(struct elements elements)
{
    struct block_room room;
    struct block block;

    return elements_next(&elements, &room, &block);
}

static void data_receive(struct node *node, struct moment now, struct peer *from,
                         const struct item *item, uint8_t ttl)
{
    struct entry *unseen = join_plain(node, now, from, item, ttl);

    if (unseen != NULL && !item->full && ttl > 0) {
        plain_ask(node, now, unseen);
    }
}

/* Presence in a plain message. It is merged and never answered in kind: two prototypes that answer
 * each other's stamps do so for ever. A node that says it can do better gets a hello, and with it
 * what is known of it that it should hear. */
static void presence_come(struct node *node, struct moment now, struct peer *from,
                          const struct address *about, const struct item *item)
{
    const enum presence_source source =
        presence_source_of(from, about, node_trusts(node, from, now), false);
    struct marks larger = { 0 };
    const struct presence_report report = {
        .about = *about, .elements = item->elements, .reply = &larger, .source = (uint8_t)source
    };
    struct owed *owed;

    presence_receive(node, now, from, &report);
    if (source == SOURCE_SELF_SPEAKING && from->level > 0) {
        outbox_owe_hello(node, now, from, true);
        owed = outbox_owe(node, from);
        if (owed != NULL && !marks_add_all(&owed->larger, node->mem, &larger)) {
            node->stats.memory_refused++;
        }
    }
    marks_clear(&larger, node->mem);
}

static bool is_peers_pattern(struct bytes key)
{
    return key.size == sizeof peers_pattern && memcmp(key.data, peers_pattern, key.size) == 0;
}

void plain_receive(struct node *node, struct moment now, struct peer *from,
                   const struct message *message)
{
    const struct item *item = &message->plain;
    const uint8_t less = message->ttl > 0 ? (uint8_t)(message->ttl - 1) : 0;
    const uint8_t ttl = less < TTL_MAX ? less : TTL_MAX;
    struct address about;

    assert(item->key.size > 0);
    from->dialect = message->has_ttl ? DIALECT_TTL : DIALECT_NO_TTL;
    if (pattern_is(item->key)) {
        plain_search(node, now, from, item, ttl);
    } else if (!elements_any(item->elements)) {
        plain_answer(node, now, from, item->key, ttl);
    } else if (presence_address(item->key, &about)) {
        presence_come(node, now, from, &about, item);
    } else {
        data_receive(node, now, from, item, ttl);
    }
    /* Who asks for all presence is just beginning: if it is one of our kind, its own was lost on
     * the way. That it was heard is known here; others are told once it said something else. */
    if (is_peers_pattern(item->key)) {
        presence_update_peer(node, now, from);
    } else {
        presence_vouch(node, now, from);
    }
}
