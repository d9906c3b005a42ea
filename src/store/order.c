#include "store/order.h"

#include <assert.h>

/* Where a key belongs: at each height the last entry before it; NULL: it would be the first. */
struct path {
    struct entry *before[ENTRY_HEIGHT_MAX];
};

static uint32_t *path_link(struct order *order, const struct path *path, unsigned height)
{
    return path->before[height] == NULL ? &order->first[height]
                                        : &path->before[height]->tower[height];
}

/* The first entry >= or > the key, and the way to it. An entry that was too far at one height is
 * not compared again at the next. */
static uint32_t path_find(struct path *path, const struct order *order, const struct slabs *slabs,
                          struct bytes key, enum order_bound bound, uint64_t *nodes)
{
    const uint32_t *links = order->first;
    struct entry *before = NULL;
    uint32_t beyond = 0;

    for (unsigned height = order->height; height-- > 0;) {
        while (links[height] != beyond) {
            struct entry *entry = slabs_entry(slabs, links[height]);
            const int compared = entry_compare(entry, key);

            ++*nodes;
            if (compared > 0 || (compared == 0 && bound == ORDER_FROM)) {
                beyond = links[height];
                break;
            }
            before = entry;
            links = entry->tower;
        }
        path->before[height] = before;
    }
    return beyond;
}

void order_init(struct order *order)
{
    *order = (struct order){ .height = 1 };
}

unsigned order_height(uint64_t hash)
{
    const unsigned zeros = (unsigned)__builtin_ctzll(hash >> 32 | UINT64_C(1) << 30);

    return 1 + zeros / 2;
}

void order_insert(struct order *order, const struct slabs *slabs, uint32_t id, uint64_t *nodes)
{
    struct entry *entry = slabs_entry(slabs, id);
    struct path path;

    assert(entry->height >= 1 && entry->height <= ENTRY_HEIGHT_MAX);
    while (order->height < entry->height) {
        order->first[order->height++] = 0;
    }
    (void)path_find(&path, order, slabs, entry_key_of(entry), ORDER_FROM, nodes);
    for (unsigned height = 0; height < entry->height; height++) {
        uint32_t *link = path_link(order, &path, height);

        entry->tower[height] = *link;
        *link = id;
    }
    order->count++;
}

void order_remove(struct order *order, const struct slabs *slabs, const struct entry *entry,
                  uint64_t *nodes)
{
    struct path path;
    const uint32_t id = path_find(&path, order, slabs, entry_key_of(entry), ORDER_FROM, nodes);

    assert(slabs_entry(slabs, id) == entry);
    for (unsigned height = 0; height < entry->height; height++) {
        uint32_t *link = path_link(order, &path, height);

        assert(*link == id);
        *link = entry->tower[height];
    }
    order->count--;
}

uint32_t order_seek(const struct order *order, const struct slabs *slabs, struct bytes key,
                    enum order_bound bound, uint64_t *nodes)
{
    struct path path;

    return path_find(&path, order, slabs, key, bound, nodes);
}

void order_audit(const struct order *order, const struct slabs *slabs)
{
    for (unsigned height = 0; height < order->height; height++) {
        uint32_t low = order->first[0];
        uint64_t count = 0;

        for (uint32_t id = order->first[height]; id != 0;
             id = slabs_entry(slabs, id)->tower[height]) {
            const struct entry *entry = slabs_entry(slabs, id);
            const uint32_t next = entry->tower[height];

            assert(entry->height > height);
            assert(next == 0 || entry_compare(entry, entry_key_of(slabs_entry(slabs, next))) < 0);
            /* All that the list below has more is lower. */
            while (low != id) {
                assert(low != 0 && slabs_entry(slabs, low)->height <= height);
                low = slabs_entry(slabs, low)->tower[0];
            }
            low = slabs_entry(slabs, low)->tower[0];
            count++;
            assert(count <= order->count);
        }
        assert(height > 0 || count == order->count);
    }
}
