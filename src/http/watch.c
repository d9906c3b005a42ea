#include "http/watch.h"

#include "store/pattern.h"

#include <assert.h>
#include <string.h>

#define BUCKETS_MIN 16
#define FILTERS_MAX 256
#define MARKS_MIN   1

/* What waits about one key. */
struct waiting {
    struct waiting *chain; /* of its bucket */
    struct waiting *next;  /* in the order of arrival */
    struct waiting *previous;
    struct entry *entry;
    struct mark *marks;
    uint8_t marks_count;
    uint8_t marks_room;
    bool is_whole;
};

struct filter {
    uint16_t size;
    bool is_pattern;
    uint8_t text[HTTP_KEY_BYTES_MAX];
};

struct watcher {
    struct watch *watch;
    struct watcher *next;
    struct watcher *previous;
    struct http_request *request;
    struct filter *filters;
    size_t filters_count;
    size_t filters_room;
    struct waiting **buckets;
    size_t buckets_count; /* a power of two, or 0 */
    size_t items_count;
    struct waiting *first;
    struct waiting *last;
    uint64_t bytes; /* of what waits */
    uint64_t bytes_max;
    bool has_overflowed;
};

struct watch {
    struct mem *mem;
    struct watcher *first;
};

struct watch *watch_create(struct mem *mem)
{
    struct watch *watch = (struct watch *)mem_alloc(mem, sizeof *watch);

    if (watch != NULL) {
        *watch = (struct watch){ .mem = mem };
    }
    return watch;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    assert(watch->first == NULL);
    mem_free(watch->mem, watch, sizeof *watch);
}

/* -- what waits ---------------------------------------------------------------------------- */

static struct waiting **bucket_of(const struct watcher *watcher, const struct entry *entry)
{
    const uint64_t mixed = (uint64_t)(uintptr_t)entry * UINT64_C(0x9E3779B97F4A7C15);

    return &watcher->buckets[(size_t)(mixed >> 32) & (watcher->buckets_count - 1)];
}

static struct waiting *item_find(const struct watcher *watcher, const struct entry *entry)
{
    struct waiting *item = watcher->buckets_count == 0 ? NULL : *bucket_of(watcher, entry);

    while (item != NULL && item->entry != entry) {
        item = item->chain;
    }
    return item;
}

static bool buckets_grow(struct watcher *watcher)
{
    struct mem *mem = watcher->watch->mem;
    const size_t old_size = watcher->buckets_count * sizeof(struct waiting *);
    const size_t count = watcher->buckets_count == 0 ? BUCKETS_MIN : 2 * watcher->buckets_count;
    struct waiting **buckets =
        (struct waiting **)mem_alloc_zeroed(mem, count * sizeof(struct waiting *));

    if (buckets == NULL) {
        return false;
    }
    mem_free(mem, watcher->buckets, old_size);
    watcher->buckets = buckets;
    watcher->buckets_count = count;
    for (struct waiting *item = watcher->first; item != NULL; item = item->next) {
        struct waiting **bucket = bucket_of(watcher, item->entry);

        item->chain = *bucket;
        *bucket = item;
    }
    return true;
}

static struct waiting *item_add(struct watcher *watcher, struct entry *entry)
{
    struct waiting **bucket;
    struct waiting *item;

    if (watcher->items_count == watcher->buckets_count && !buckets_grow(watcher)) {
        return NULL;
    }
    item = (struct waiting *)mem_alloc(watcher->watch->mem, sizeof *item);
    if (item == NULL) {
        return NULL;
    }
    bucket = bucket_of(watcher, entry);
    *item = (struct waiting){ .chain = *bucket, .previous = watcher->last, .entry = entry };
    *bucket = item;
    if (watcher->last == NULL) {
        watcher->first = item;
    } else {
        watcher->last->next = item;
    }
    watcher->last = item;
    watcher->items_count++;
    watcher->bytes += sizeof *item;
    return item;
}

static void marks_free(struct watcher *watcher, struct waiting *item)
{
    const size_t size = item->marks_room * sizeof *item->marks;

    mem_free(watcher->watch->mem, item->marks, size);
    watcher->bytes -= size;
    item->marks = NULL;
    item->marks_count = 0;
    item->marks_room = 0;
}

static void item_remove(struct watcher *watcher, struct waiting *item)
{
    struct waiting **at = bucket_of(watcher, item->entry);

    while (*at != item) {
        at = &(*at)->chain;
    }
    *at = item->chain;
    if (item->previous == NULL) {
        watcher->first = item->next;
    } else {
        item->previous->next = item->next;
    }
    if (item->next == NULL) {
        watcher->last = item->previous;
    } else {
        item->next->previous = item->previous;
    }
    marks_free(watcher, item);
    watcher->items_count--;
    watcher->bytes -= sizeof *item;
    mem_free(watcher->watch->mem, item, sizeof *item);
}

static void items_clear(struct watcher *watcher)
{
    while (watcher->first != NULL) {
        item_remove(watcher, watcher->first);
    }
}

static bool marks_grow(struct watcher *watcher, struct waiting *item)
{
    const size_t size = sizeof *item->marks;
    const uint8_t room = item->marks_room == 0 ? MARKS_MIN : (uint8_t)(2 * item->marks_room);
    struct mark *marks = (struct mark *)mem_grow(watcher->watch->mem, item->marks,
                                                 item->marks_room * size, room * size);

    if (marks == NULL) {
        return false;
    }
    watcher->bytes += (size_t)(room - item->marks_room) * size;
    item->marks = marks;
    item->marks_room = room;
    return true;
}

/* Marks ascending by block; one too many, and the whole vector counts as raised. */
static bool mark_note(struct watcher *watcher, struct waiting *item, const struct mark *raised)
{
    unsigned at = 0;

    if (item->is_whole || mark_empty(raised)) {
        return true;
    }
    while (at < item->marks_count && item->marks[at].number < raised->number) {
        at++;
    }
    if (at < item->marks_count && item->marks[at].number == raised->number) {
        mark_or(&item->marks[at], raised);
        return true;
    }
    if (item->marks_count == WATCH_MARKS_MAX) {
        marks_free(watcher, item);
        item->is_whole = true;
        return true;
    }
    if (item->marks_count == item->marks_room && !marks_grow(watcher, item)) {
        return false;
    }
    memmove(&item->marks[at + 1], &item->marks[at],
            (size_t)(item->marks_count - at) * sizeof *item->marks);
    item->marks[at] = *raised;
    item->marks_count++;
    return true;
}

static void overflow(struct watcher *watcher)
{
    items_clear(watcher);
    watcher->has_overflowed = true;
}

/* -- who is concerned ---------------------------------------------------------------------- */

static bool filter_matches(const struct filter *filter, struct bytes key, bool is_presence)
{
    const struct bytes text = { filter->text, filter->size };

    if (filter->is_pattern) {
        return (!is_presence || (text.size >= 2 && memcmp(text.data, "n:", 2) == 0))
               && pattern_matches(text, key);
    }
    return text.size == key.size && memcmp(text.data, key.data, key.size) == 0;
}

static bool concerns(const struct watcher *watcher, const struct entry *entry)
{
    const struct bytes key = entry_key(entry);
    const bool is_presence = entry_set(entry) == TABLE_M;

    if (watcher->filters_count == 0) {
        return !is_presence;
    }
    for (size_t i = 0; i < watcher->filters_count; i++) {
        if (filter_matches(&watcher->filters[i], key, is_presence)) {
            return true;
        }
    }
    return false;
}

static void change_note(struct watcher *watcher, const struct change *change)
{
    struct waiting *item = item_find(watcher, change->entry);

    if (change->dropped) {
        if (item != NULL) {
            item_remove(watcher, item);
        }
        return;
    }
    if (item == NULL) {
        if (!concerns(watcher, change->entry)) {
            return;
        }
        item = item_add(watcher, change->entry);
    }
    if (item == NULL || !mark_note(watcher, item, &change->raised)
        || watcher->bytes > watcher->bytes_max) {
        overflow(watcher);
    }
}

void watch_note(struct watch *watch, struct changes changes)
{
    for (struct watcher *watcher = watch->first; watcher != NULL; watcher = watcher->next) {
        for (size_t i = 0; i < changes.count && !watcher->has_overflowed; i++) {
            if (changes.list[i].origin != CHANGE_FROM_DISK) {
                change_note(watcher, &changes.list[i]);
            }
        }
        if (watcher_is_due(watcher)) {
            http_wake(watcher->request);
        }
    }
}

/* -- watchers ------------------------------------------------------------------------------ */

struct watcher *watcher_create(struct watch *watch, struct http_request *request,
                               uint64_t bytes_max)
{
    struct watcher *watcher = (struct watcher *)mem_alloc(watch->mem, sizeof *watcher);

    if (watcher == NULL) {
        return NULL;
    }
    *watcher = (struct watcher){
        .watch = watch, .next = watch->first, .request = request, .bytes_max = bytes_max
    };
    if (watch->first != NULL) {
        watch->first->previous = watcher;
    }
    watch->first = watcher;
    return watcher;
}

void watcher_free(struct watcher *watcher)
{
    struct watch *watch;

    if (watcher == NULL) {
        return;
    }
    watch = watcher->watch;
    items_clear(watcher);
    if (watcher->previous == NULL) {
        watch->first = watcher->next;
    } else {
        watcher->previous->next = watcher->next;
    }
    if (watcher->next != NULL) {
        watcher->next->previous = watcher->previous;
    }
    mem_free(watch->mem, watcher->buckets, watcher->buckets_count * sizeof(struct waiting *));
    mem_free(watch->mem, watcher->filters, watcher->filters_room * sizeof *watcher->filters);
    mem_free(watch->mem, watcher, sizeof *watcher);
}

static bool filter_add(struct watcher *watcher, struct bytes text, bool is_pattern)
{
    struct filter *filter;

    if (text.size == 0 || text.size > sizeof filter->text
        || watcher->filters_count == FILTERS_MAX) {
        return false;
    }
    if (watcher->filters_count == watcher->filters_room) {
        const size_t room = watcher->filters_room == 0 ? 1 : 2 * watcher->filters_room;
        struct filter *filters = (struct filter *)mem_grow(watcher->watch->mem, watcher->filters,
                                                           watcher->filters_room * sizeof *filters,
                                                           room * sizeof *filters);

        if (filters == NULL) {
            return false;
        }
        watcher->filters = filters;
        watcher->filters_room = room;
    }
    filter = &watcher->filters[watcher->filters_count++];
    filter->size = (uint16_t)text.size;
    filter->is_pattern = is_pattern;
    memcpy(filter->text, text.data, text.size);
    return true;
}

bool watcher_add_key(struct watcher *watcher, struct bytes key)
{
    return filter_add(watcher, key, false);
}

bool watcher_add_pattern(struct watcher *watcher, struct bytes pattern)
{
    return filter_add(watcher, pattern, true);
}

size_t watcher_filters(const struct watcher *watcher)
{
    return watcher->filters_count == 0 ? 1 : watcher->filters_count;
}

bool watcher_take(struct watcher *watcher, struct watch_event *event)
{
    struct waiting *item = watcher->first;

    if (item == NULL) {
        return false;
    }
    event->entry = item->entry;
    event->marks_count = item->marks_count;
    event->is_whole = item->is_whole;
    if (item->marks_count > 0) {
        memcpy(event->marks, item->marks, item->marks_count * sizeof *item->marks);
    }
    item_remove(watcher, item);
    return true;
}

bool watcher_is_due(const struct watcher *watcher)
{
    return watcher->first != NULL || watcher->has_overflowed;
}

bool watcher_has_overflowed(const struct watcher *watcher)
{
    return watcher->has_overflowed;
}
