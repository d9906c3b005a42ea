#ifndef UNIT_TABLE_FIXTURE_H
#define UNIT_TABLE_FIXTURE_H

/* A table and the few ways in which its tests write to it. */

#include "base/random.h"
#include "store/table.h"

#include <stdio.h>
#include <string.h>

#include "unit/test.h"

struct fixture {
    struct mem mem;
    struct table *table;
    struct random random;
};

static const struct table_options options_default = {
    .hash_secret = "sixteen byte key",
    .digest_mask = UINT64_MAX,
};

static inline int setup(void **state)
{
    static struct fixture fixture;
    struct table_options options = options_default;

    fixture = (struct fixture){ 0 };
    options.mem = &fixture.mem;
    random_seed(&fixture.random, 7, 0);
    *state = &fixture;
    return table_create(&options, &fixture.table) == STATUS_OK ? 0 : -1;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->table != NULL) {
        table_audit(fixture->table);
    }
    table_free(fixture->table);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static const struct bytes none = { NULL, 0 };

static inline enum status element_merge(struct table *table, struct entry *entry, uint64_t index,
                                        uint64_t value, enum change_origin origin)
{
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };

    return table_merge(table, entry, &block, origin, NULL);
}

static inline enum status key_write(struct table *table, const char *key, uint64_t index,
                                    uint64_t value)
{
    struct entry *entry = NULL;
    enum status status = table_obtain(table, bytes_of(key), TABLE_DATA, &entry);

    if (status == STATUS_OK) {
        status = element_merge(table, entry, index, value, CHANGE_FROM_CLIENT);
    }
    return status;
}

/* What must be: a key always exists afterwards. */
static inline struct entry *key_put(struct table *table, const char *key, uint64_t index,
                                    uint64_t value)
{
    assert_int_equal(key_write(table, key, index, value), STATUS_OK);
    return table_find(table, bytes_of(key));
}

static inline size_t changes_count(const struct table *table)
{
    return table_changes(table).count;
}

#endif /* UNIT_TABLE_FIXTURE_H */
