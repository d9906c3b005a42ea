#ifndef HTTP_WATCH_H
#define HTTP_WATCH_H

/* Who watches which keys, and what they have not yet been told. A watcher keeps marks, not values:
 * changes of a key that waits merge by OR, and what is written in the end is read then; of a key
 * that ended or was deleted it keeps the name. So a slow watcher gets fewer and coarser events and
 * misses nothing. What waits is bounded by the bytes it was created with; past them the watcher
 * overflows and is to be closed.
 *
 * Comparing every change with every key and pattern is work of changes x watchers x pattern: so it
 * goes through a backlog, of which each turn takes as much as WATCH_WORK_MAX allows.
 *
 * Called by main, which hands in the feed at the end of each turn, and by api_watch.c. Never
 * writes to anybody: it wakes the watcher's request. */

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "http/server.h"
#include "store/table.h"
#include "wire/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch;   /* opaque: all watchers of a node */
struct watcher; /* opaque */

#define WATCH_MARKS_MAX \
    64 /* blocks of a key told apart; beyond, the whole vector counts as raised */

/* NULL: no memory. The account outlives it. */
struct watch *watch_create(struct mem *mem);

/* All watchers must have been freed. NULL is allowed. */
void watch_free(struct watch *watch);

/* Keys that changed and are still to be compared with what watchers watch. Beyond it all of them
 * overflow: comparing has fallen too far behind to be caught up with. */
#define WATCH_BACKLOG_BYTES (UINT64_C(4) << 20)

/* Comparisons of one turn, in units of up to half a microsecond: one a watcher, one for each eight
 * blocks that changed, one a key or pattern of it, and one for each 64 bytes of that and of the
 * key. */
#define WATCH_WORK_MAX 4096

/* Note what changed; before the turn ends. Wakes whom it concerns. What is beyond WATCH_WORK_MAX is
 * kept, since marks can be read late without loss, and compared in later turns.
 *
 * False: there is more, call again in a turn soon. */
bool watch_note(struct watch *watch, struct changes changes);

/* The most that comparing cost in one turn, in those units. */
uint64_t watch_work_most(const struct watch *watch);

/* A watcher of all keys but those of peers, until it is told otherwise.
 *
 * request      woken when there is something to tell; frees the watcher when it ends
 * bytes_max    of what may wait
 *
 * NULL: no memory. */
struct watcher *watcher_create(struct watch *watch, struct http_request *request,
                               uint64_t bytes_max);
void watcher_free(struct watcher *watcher);

#define WATCH_FILTERS_MAX 256 /* keys and patterns of a watcher: a change is compared with each */

/* Watch these keys only, or what matches this pattern only (keys of peers where it begins with
 * "n:"). Both: either is enough. Copied.
 *
 * STATUS_INVALID: it is empty or longer than a key, or one more than WATCH_FILTERS_MAX.
 * STATUS_MEMORY: there is none left. What was watched before still is. */
MUST_CHECK enum status watcher_add_key(struct watcher *watcher, struct bytes key);
MUST_CHECK enum status watcher_add_pattern(struct watcher *watcher, struct bytes pattern);

/* How many keys and patterns each change is compared with; 1 where all keys are watched. */
size_t watcher_filters(const struct watcher *watcher);

/* What is to be told about one key: what rose, or that it ended or was deleted. */
struct watch_event {
    struct entry *entry; /* NULL: it ended, and `key` was its name */
    struct mark marks[WATCH_MARKS_MAX];
    size_t marks_count;
    bool is_whole;   /* more blocks than that: the whole vector */
    bool is_deleted; /* so it ended */
    uint8_t key_size;
    uint8_t key[HTTP_KEY_BYTES_MAX];
};

/* Take what has waited longest. False: nothing waits. The entry is valid until the turn ends; it
 * may have ended meanwhile, of which another event comes. */
bool watcher_take(struct watcher *watcher, struct watch_event *event);

/* Whether something waits, or the watcher has overflowed. */
bool watcher_is_due(const struct watcher *watcher);

/* More waited than may. None of it is told any more. */
bool watcher_has_overflowed(const struct watcher *watcher);

#endif /* HTTP_WATCH_H */
