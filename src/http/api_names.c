#include "http/api_names.h"

#include <assert.h>
#include <string.h>

#define SLICE_PEERS 64
#define SLICE_KEYS  64

/* What a walk looks for. */
struct bounds {
    struct bytes prefix;
    struct bytes after;
};

static struct bytes name_at(const struct names *names, size_t position)
{
    return (struct bytes){ names->list[position].text, names->list[position].size };
}

/* Whether the list is full of smaller ones. */
static bool is_beyond(const struct names *names, struct bytes key)
{
    return names->count == NAMES_ROOM && bytes_order(key, name_at(names, NAMES_ROOM - 1)) > 0;
}

/* Keep a key that is within the bounds, if it is one of the smallest. */
static void name_offer(struct names *names, const struct bounds *bounds, struct bytes key)
{
    size_t at = names->count;

    if (!bytes_begin_with(key, bounds->prefix)
        || (bounds->after.size > 0 && bytes_order(key, bounds->after) <= 0)) {
        return;
    }
    if (is_beyond(names, key)) {
        names->is_cut = true;
        return;
    }
    while (at > 0 && bytes_order(key, name_at(names, at - 1)) < 0) {
        at--;
    }
    if (at > 0 && bytes_order(key, name_at(names, at - 1)) == 0) {
        return;
    }
    if (names->count == NAMES_ROOM) {
        names->is_cut = true;
        names->count--;
    }
    memmove(&names->list[at + 1], &names->list[at], (names->count - at) * sizeof names->list[0]);
    names->list[at].size = (uint8_t)key.size;
    memcpy(names->list[at].text, key.data, key.size);
    names->count++;
}

static void address_offer(struct names *names, const struct bounds *bounds,
                          const struct address *address)
{
    uint8_t text[API_PRESENCE_KEY_MAX];
    const size_t size = presence_key_put(text, address);

    name_offer(names, bounds, (struct bytes){ text, size });
}

/* Go through the peers. False: the step is over. */
static bool peers_walk(struct names *names, const struct bounds *bounds,
                       struct http_request *request, struct http_context *context)
{
    struct peer_view peers[SLICE_PEERS];
    size_t count;

    do {
        if (http_step_is_over(request)) {
            return false;
        }
        count = node_peers(context->node, names->has_address ? &names->address : NULL, peers,
                           SLICE_PEERS);
        for (size_t i = 0; i < count; i++) {
            address_offer(names, bounds, &peers[i].address);
        }
        if (count > 0) {
            names->address = peers[count - 1].address;
            names->has_address = true;
        }
    } while (count == SLICE_PEERS);
    return true;
}

/* Go through the store, as far as the list has room: presence is there too, and passed over, for it
 * was offered already, unless its peer is gone. */
static void data_walk(struct names *names, const struct bounds *bounds,
                      const struct http_context *context)
{
    struct entry *entries[SLICE_KEYS];
    struct bytes after = bounds->after;
    size_t count;

    do {
        count = table_slice(context->table, bounds->prefix, after, entries, SLICE_KEYS);
        for (size_t i = 0; i < count; i++) {
            after = entry_key(entries[i]);
            if (!entry_ended(context->table, entries[i])) {
                name_offer(names, bounds, after);
            }
        }
    } while (count == SLICE_KEYS && !is_beyond(names, after));
}

enum names_progress names_next(struct names *names, struct http_request *request,
                               struct http_context *context, struct bytes prefix,
                               struct bytes after, struct bytes *key_out)
{
    const struct bounds bounds = { .prefix = prefix, .after = after };

    if (names->is_found && names->position == names->count && names->is_cut) {
        *names = (struct names){ 0 };
    }
    if (!names->is_found) {
        if (!peers_walk(names, &bounds, request, context)) {
            return NAMES_OVER;
        }
        address_offer(names, &bounds, &context->self);
        data_walk(names, &bounds, context);
        names->is_found = true;
    }
    if (names->position == names->count) {
        return NAMES_END;
    }
    *key_out = name_at(names, names->position++);
    return NAMES_ONE;
}
