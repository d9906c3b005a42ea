#include "http/watch.h"

#include "store/pattern.h"

#include <assert.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS_MIN 16
#define MARKS_MIN   1

/* Of work: a comparison, and what it looks at. A pattern of 255 bytes against a key of as many
 * takes about four microseconds. */
#define WORK_FILTER        1
#define WORK_PATTERN_BYTES 64
#define WORK_MARKS         8

/* What waits about one key. */
struct waiting {
    LIST_ENTRY(waiting) chain;  /* of its bucket, unless it ended */
    TAILQ_ENTRY(waiting) order; /* of arrival */
    struct entry *entry;        /* NULL: it ended */
    struct mark *marks;
    uint8_t marks_count;
    uint8_t marks_room;
    bool is_whole;
    bool is_deleted;  /* so it ended */
    uint8_t key_size; /* of one that ended, which nobody else keeps */
    uint8_t key[];
};

LIST_HEAD(bucket, waiting);
TAILQ_HEAD(order, waiting);

/* All that waits for one watcher, or for all of them. */
struct waits {
    struct mem *mem;
    struct bucket *buckets;
    size_t buckets_count; /* a power of two, or 0 */
    size_t items_count;   /* in them */
    struct order order;
    uint64_t bytes; /* of what waits */
};

struct filter {
    uint16_t size;
    bool is_pattern;
    uint8_t text[HTTP_KEY_BYTES_MAX];
};

struct watcher {
    struct watch *watch;
    LIST_ENTRY(watcher) list;
    struct http_request *request;
    struct filter *filters;
    size_t filters_count;
    size_t filters_room;
    struct waits waits;
    uint64_t bytes_max;
    bool has_overflowed;
};

/* Changes go through the backlog one key at a time, and each key past all watchers: the cursor is
 * where a turn that had no more time left off. */
struct watch {
    struct mem *mem;
    LIST_HEAD(, watcher) watchers;
    struct waits backlog;
    struct watch_event current; /* the key on its way */
    bool has_current;
    struct watcher *at; /* whom it comes to next; NULL: it has been past all */
    uint64_t work_most;
};

static void waits_init(struct waits *waits, struct mem *mem)
{
    *waits = (struct waits){ .mem = mem };
    TAILQ_INIT(&waits->order);
}

struct watch *watch_create(struct mem *mem)
{
    struct watch *watch = (struct watch *)mem_alloc_zeroed(mem, sizeof *watch);

    if (watch != NULL) {
        watch->mem = mem;
        waits_init(&watch->backlog, mem);
    }
    return watch;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    assert(LIST_EMPTY(&watch->watchers));
    mem_free(watch->mem, watch, sizeof *watch);
}

/* -- what waits ---------------------------------------------------------------------------- */

static struct bucket *bucket_of(const struct waits *waits, const struct entry *entry)
{
    const uint64_t mixed = (uint64_t)(uintptr_t)entry * UINT64_C(0x9E3779B97F4A7C15);

    return &waits->buckets[(size_t)(mixed >> 32) & (waits->buckets_count - 1)];
}

static struct waiting *waits_find(const struct waits *waits, const struct entry *entry)
{
    struct waiting *item = waits->buckets_count == 0 ? NULL : LIST_FIRST(bucket_of(waits, entry));

    while (item != NULL && item->entry != entry) {
        item = LIST_NEXT(item, chain);
    }
    return item;
}

static bool buckets_grow(struct waits *waits)
{
    struct mem *mem = waits->mem;
    const size_t old_size = waits->buckets_count * sizeof *waits->buckets;
    const size_t count = waits->buckets_count == 0 ? BUCKETS_MIN : 2 * waits->buckets_count;
    struct bucket *buckets = (struct bucket *)mem_alloc_zeroed(mem, count * sizeof *buckets);

    if (buckets == NULL) {
        return false;
    }
    mem_free(mem, waits->buckets, old_size);
    waits->buckets = buckets;
    waits->buckets_count = count;
    for (struct waiting *item = TAILQ_FIRST(&waits->order); item != NULL;
         item = TAILQ_NEXT(item, order)) {
        if (item->entry != NULL) {
            LIST_INSERT_HEAD(bucket_of(waits, item->entry), item, chain);
        }
    }
    return true;
}

static size_t waiting_bytes(size_t key_size)
{
    return sizeof(struct waiting) + key_size;
}

/* Add that a key ended, or was deleted. False: no memory. */
static bool waits_add_end(struct waits *waits, struct bytes key, bool is_deleted)
{
    struct waiting *item = (struct waiting *)mem_alloc(waits->mem, waiting_bytes(key.size));

    if (item == NULL) {
        return false;
    }
    *item = (struct waiting){ .key_size = (uint8_t)key.size, .is_deleted = is_deleted };
    memcpy(item->key, key.data, key.size);
    TAILQ_INSERT_TAIL(&waits->order, item, order);
    waits->bytes += waiting_bytes(key.size);
    return true;
}

static struct waiting *waits_add(struct waits *waits, struct entry *entry)
{
    struct waiting *item;

    if (waits->items_count == waits->buckets_count && !buckets_grow(waits)) {
        return NULL;
    }
    item = (struct waiting *)mem_alloc(waits->mem, waiting_bytes(0));
    if (item == NULL) {
        return NULL;
    }
    *item = (struct waiting){ .entry = entry };
    LIST_INSERT_HEAD(bucket_of(waits, entry), item, chain);
    TAILQ_INSERT_TAIL(&waits->order, item, order);
    waits->items_count++;
    waits->bytes += waiting_bytes(0);
    return item;
}

static void marks_free(struct waits *waits, struct waiting *item)
{
    const size_t size = item->marks_room * sizeof *item->marks;

    mem_free(waits->mem, item->marks, size);
    waits->bytes -= size;
    item->marks = NULL;
    item->marks_count = 0;
    item->marks_room = 0;
}

static void waits_remove(struct waits *waits, struct waiting *item)
{
    const size_t size = waiting_bytes(item->key_size);

    if (item->entry != NULL) {
        LIST_REMOVE(item, chain);
        waits->items_count--;
    }
    TAILQ_REMOVE(&waits->order, item, order);
    marks_free(waits, item);
    waits->bytes -= size;
    mem_free(waits->mem, item, size);
}

static void waits_clear(struct waits *waits)
{
    while (!TAILQ_EMPTY(&waits->order)) {
        waits_remove(waits, TAILQ_FIRST(&waits->order));
    }
}

static bool marks_grow(struct waits *waits, struct waiting *item)
{
    const size_t size = sizeof *item->marks;
    const uint8_t room = item->marks_room == 0 ? MARKS_MIN : (uint8_t)(2 * item->marks_room);
    struct mark *marks =
        (struct mark *)mem_grow(waits->mem, item->marks, item->marks_room * size, room * size);

    if (marks == NULL) {
        return false;
    }
    waits->bytes += (size_t)(room - item->marks_room) * size;
    item->marks = marks;
    item->marks_room = room;
    return true;
}

/* Marks ascending by block; one too many, and the whole vector counts as raised. */
static bool mark_note(struct waits *waits, struct waiting *item, const struct mark *raised)
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
        marks_free(waits, item);
        item->is_whole = true;
        return true;
    }
    if (item->marks_count == item->marks_room && !marks_grow(waits, item)) {
        return false;
    }
    memmove(&item->marks[at + 1], &item->marks[at],
            (size_t)(item->marks_count - at) * sizeof *item->marks);
    item->marks[at] = *raised;
    item->marks_count++;
    return true;
}

/* Note marks of an entry; `item` is what waits about it, NULL: nothing does. False: no memory; what
 * waited then still does. */
static bool waits_note(struct waits *waits, struct waiting *item, const struct watch_event *event)
{
    if (event->entry == NULL) {
        return waits_add_end(waits, (struct bytes){ event->key, event->key_size },
                             event->is_deleted);
    }
    if (item == NULL) {
        item = waits_add(waits, event->entry);
    }
    if (item == NULL) {
        return false;
    }
    if (event->is_whole) {
        marks_free(waits, item);
        item->is_whole = true;
    }
    for (size_t i = 0; i < event->marks_count; i++) {
        if (!mark_note(waits, item, &event->marks[i])) {
            return false;
        }
    }
    return true;
}

/* Take what has waited longest. False: nothing waits. */
static bool waits_take(struct waits *waits, struct watch_event *event)
{
    struct waiting *item = TAILQ_FIRST(&waits->order);

    if (item == NULL) {
        return false;
    }
    event->entry = item->entry;
    event->marks_count = item->marks_count;
    event->is_whole = item->is_whole;
    event->is_deleted = item->is_deleted;
    event->key_size = item->key_size;
    memcpy(event->key, item->key, item->key_size);
    if (item->marks_count > 0) {
        memcpy(event->marks, item->marks, item->marks_count * sizeof *item->marks);
    }
    waits_remove(waits, item);
    return true;
}

static void waits_forget(struct waits *waits, const struct entry *entry)
{
    struct waiting *item = waits_find(waits, entry);

    if (item != NULL) {
        waits_remove(waits, item);
    }
}

static void waits_free(struct waits *waits)
{
    waits_clear(waits);
    mem_free(waits->mem, waits->buckets, waits->buckets_count * sizeof *waits->buckets);
    waits_init(waits, waits->mem);
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

/* Keys of peers do not end. */
static bool concerns(const struct watcher *watcher, const struct watch_event *event, uint64_t *work)
{
    const bool is_presence = event->entry != NULL && entry_set(event->entry) == TABLE_MEMBERS;
    const struct bytes key = event->entry != NULL ? entry_key(event->entry)
                                                  : (struct bytes){ event->key, event->key_size };

    if (watcher->filters_count == 0) {
        return !is_presence;
    }
    for (size_t i = 0; i < watcher->filters_count; i++) {
        *work += WORK_FILTER + (watcher->filters[i].size + key.size) / WORK_PATTERN_BYTES;
        if (filter_matches(&watcher->filters[i], key, is_presence)) {
            return true;
        }
    }
    return false;
}

/* What waits stays until the watcher is freed: all of them may overflow in one turn, and each have
 * a buffer full. */
static void overflow(struct watcher *watcher)
{
    watcher->has_overflowed = true;
    http_wake(watcher->request);
}

/* Tell one watcher of one key. Returns the work it took. */
static uint64_t watcher_note(struct watcher *watcher, const struct watch_event *event)
{
    struct waiting *item = event->entry == NULL ? NULL : waits_find(&watcher->waits, event->entry);
    const bool was_due = watcher_is_due(watcher);
    uint64_t work = 1 + event->marks_count / WORK_MARKS;

    if (watcher->has_overflowed || (item == NULL && !concerns(watcher, event, &work))) {
        return work;
    }
    if (!waits_note(&watcher->waits, item, event) || watcher->waits.bytes > watcher->bytes_max) {
        overflow(watcher);
    } else if (!was_due) {
        http_wake(watcher->request);
    }
    return work;
}

/* -- the backlog --------------------------------------------------------------------------- */

/* More changes wait to be compared than may: nobody knows what it missed. */
static void backlog_overflow(struct watch *watch)
{
    waits_clear(&watch->backlog);
    watch->has_current = false;
    for (struct watcher *watcher = LIST_FIRST(&watch->watchers); watcher != NULL;
         watcher = LIST_NEXT(watcher, list)) {
        overflow(watcher);
    }
}

/* The entry goes: nobody may keep it. */
static void entry_forget(struct watch *watch, const struct entry *entry)
{
    waits_forget(&watch->backlog, entry);
    if (watch->has_current && watch->current.entry == entry) {
        watch->has_current = false;
    }
    for (struct watcher *watcher = LIST_FIRST(&watch->watchers); watcher != NULL;
         watcher = LIST_NEXT(watcher, list)) {
        waits_forget(&watcher->waits, entry);
    }
}

/* What is to be told of a change; the entry of a drop is forgotten. False: no memory for it. */
static bool change_note(struct waits *backlog, const struct change *change)
{
    const struct watch_event event = { .entry = change->entry,
                                       .marks = { change->raised },
                                       .marks_count = 1 };

    if (change->ended) {
        waits_forget(backlog, change->entry);
    }
    if (change->ended || change->deleted) {
        return waits_add_end(backlog, entry_key(change->entry), change->deleted);
    }
    if (change->dropped) {
        return true;
    }
    return waits_note(backlog, waits_find(backlog, change->entry), &event);
}

static void change_take(struct watch *watch, const struct change *change)
{
    if (change->dropped) {
        entry_forget(watch, change->entry);
    }
    if (!change_note(&watch->backlog, change) || watch->backlog.bytes > WATCH_BACKLOG_BYTES) {
        backlog_overflow(watch);
    }
}

/* Tell all watchers of what waits, as far as a turn's work goes. False: there is more. */
static bool backlog_tell(struct watch *watch)
{
    uint64_t work = 0;

    for (;;) {
        if (!watch->has_current) {
            if (!waits_take(&watch->backlog, &watch->current)) {
                break;
            }
            watch->has_current = true;
            watch->at = LIST_FIRST(&watch->watchers);
        }
        while (watch->at != NULL && work < WATCH_WORK_MAX) {
            struct watcher *watcher = watch->at;

            watch->at = LIST_NEXT(watcher, list);
            work += watcher_note(watcher, &watch->current);
        }
        if (watch->at != NULL) {
            break;
        }
        watch->has_current = false;
    }
    watch->work_most = work > watch->work_most ? work : watch->work_most;
    return !watch->has_current;
}

bool watch_note(struct watch *watch, struct changes changes)
{
    if (LIST_EMPTY(&watch->watchers)) {
        return true;
    }
    for (size_t i = 0; i < changes.count; i++) {
        if (changes.list[i].origin != CHANGE_FROM_DISK && !entry_deleted(changes.list[i].entry)) {
            change_take(watch, &changes.list[i]);
        }
    }
    return backlog_tell(watch);
}

uint64_t watch_work_most(const struct watch *watch)
{
    return watch->work_most;
}

/* -- watchers ------------------------------------------------------------------------------ */

struct watcher *watcher_create(struct watch *watch, struct http_request *request,
                               uint64_t bytes_max)
{
    struct watcher *watcher = (struct watcher *)mem_alloc(watch->mem, sizeof *watcher);

    if (watcher == NULL) {
        return NULL;
    }
    *watcher = (struct watcher){ .watch = watch, .request = request, .bytes_max = bytes_max };
    waits_init(&watcher->waits, watch->mem);
    LIST_INSERT_HEAD(&watch->watchers, watcher, list);
    return watcher;
}

void watcher_free(struct watcher *watcher)
{
    struct watch *watch;

    if (watcher == NULL) {
        return;
    }
    watch = watcher->watch;
    waits_free(&watcher->waits);
    if (watch->at == watcher) {
        watch->at = LIST_NEXT(watcher, list);
    }
    LIST_REMOVE(watcher, list);
    if (LIST_EMPTY(&watch->watchers)) { /* nobody is left to compare changes for */
        waits_free(&watch->backlog);
        watch->has_current = false;
    }
    mem_free(watch->mem, watcher->filters, watcher->filters_room * sizeof *watcher->filters);
    mem_free(watch->mem, watcher, sizeof *watcher);
}

static enum status filter_add(struct watcher *watcher, struct bytes text, bool is_pattern)
{
    struct filter *filter;

    if (text.size == 0 || text.size > sizeof filter->text
        || watcher->filters_count == WATCH_FILTERS_MAX) {
        return STATUS_INVALID;
    }
    if (watcher->filters_count == watcher->filters_room) {
        const size_t room = watcher->filters_room == 0 ? 1 : 2 * watcher->filters_room;
        struct filter *filters = (struct filter *)mem_grow(watcher->watch->mem, watcher->filters,
                                                           watcher->filters_room * sizeof *filters,
                                                           room * sizeof *filters);

        if (filters == NULL) {
            return STATUS_MEMORY;
        }
        watcher->filters = filters;
        watcher->filters_room = room;
    }
    filter = &watcher->filters[watcher->filters_count++];
    filter->size = (uint16_t)text.size;
    filter->is_pattern = is_pattern;
    memcpy(filter->text, text.data, text.size);
    return STATUS_OK;
}

enum status watcher_add_key(struct watcher *watcher, struct bytes key)
{
    return filter_add(watcher, key, false);
}

enum status watcher_add_pattern(struct watcher *watcher, struct bytes pattern)
{
    return filter_add(watcher, pattern, true);
}

size_t watcher_filters(const struct watcher *watcher)
{
    return watcher->filters_count == 0 ? 1 : watcher->filters_count;
}

bool watcher_take(struct watcher *watcher, struct watch_event *event)
{
    return !watcher->has_overflowed && waits_take(&watcher->waits, event);
}

bool watcher_is_due(const struct watcher *watcher)
{
    return !TAILQ_EMPTY(&watcher->waits.order) || watcher->has_overflowed;
}

bool watcher_has_overflowed(const struct watcher *watcher)
{
    return watcher->has_overflowed;
}
