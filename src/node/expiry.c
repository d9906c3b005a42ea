#include "node/expiry.h"

#include "base/deadline.h"
#include "node/state.h"
#include "node/work.h"

#define SECOND_US UINT64_C(1000000)
#define MINUTE_S  60
#define FIND_UNIT 2 /* nodes and entries touched in a unit of work */
#define RETRY_US  SECOND_US

void expiry_note(struct node *node, struct moment now)
{
    struct expiry *expiry = &node->expiry;
    uint32_t minute;

    if (now.unix_s == expiry->looked.unix_s && now.mono_us - expiry->looked.mono_us < SECOND_US) {
        return;
    }
    expiry->looked = now;
    guard_tick(&node->guard, now);
    expiry->now_s = guard_now_s(&node->guard, now);
    expiry->is_confirmed = guard_is_confirmed(&node->guard, now);
    minute = deadline_now(expiry->now_s);
    if (minute > expiry->minute || minute + EXPIRY_BACK_MINUTES <= expiry->minute) {
        expiry->minute = minute;
        table_set_minute(node->table, minute);
    }
}

/* Take out, and put back, what there is. Returns how many keys. */
static size_t calendar_run(struct node *node)
{
    size_t done = 0;

    while (done < EXPIRY_KEYS_MAX && work_allows(node) && table_expires(node->table)) {
        const uint64_t before = table_stats(node->table).nodes;

        if (table_expire(node->table, 1) == 0 && table_expires(node->table)) {
            node->expiry.is_stuck = true; /* no memory: a second later */
            break;
        }
        work_count(node, 1 + (table_stats(node->table).nodes - before) / FIND_UNIT);
        work_drop(node);
        done++;
    }
    return done;
}

void expiry_tick(struct node *node, struct moment now)
{
    size_t done;

    expiry_note(node, now);
    node->expiry.is_stuck = false;
    done = calendar_run(node);
    if (table_stats(node->table).ended == 0 || !node->expiry.is_confirmed) {
        return;
    }
    while (done < EXPIRY_KEYS_MAX && work_allows(node) && table_stats(node->table).ended > 0) {
        if (table_drop_ended(node->table, 1) == 0) {
            node->expiry.is_stuck = true;
            break;
        }
        work_count(node, 1);
        work_drop(node);
        done++;
    }
}

uint64_t expiry_due_us(const struct node *node)
{
    const struct expiry *expiry = &node->expiry;
    const uint64_t looked_us = expiry->looked.mono_us;

    if (table_expires(node->table)
        || (table_stats(node->table).ended > 0 && expiry->is_confirmed)) {
        return expiry->is_stuck ? looked_us + RETRY_US : 0;
    }
    if (table_keys_between(node->table, DEADLINE_MAX) == 0) {
        return UINT64_MAX;
    }
    return looked_us + (MINUTE_S - expiry->now_s % MINUTE_S) * SECOND_US;
}

bool expiry_is_far(const struct node *node, uint32_t deadline)
{
    const uint64_t most_s = node->options.keep_max_s;

    return most_s != 0 && deadline > deadline_after(node->expiry.now_s, most_s);
}

bool expiry_refuses(struct node *node, uint32_t deadline)
{
    if (deadline == DEADLINE_NONE) {
        return false;
    }
    if (deadline <= node->expiry.minute) {
        refused_count(node, ended, NULL, 1);
        return true;
    }
    if (expiry_is_far(node, deadline)) {
        refused_count(node, max_keep, NULL, 1);
        return true;
    }
    return false;
}
