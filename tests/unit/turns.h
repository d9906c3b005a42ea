#ifndef UNIT_TURNS_H
#define UNIT_TURNS_H

/* The dearest things that datagrams and clients can ask of a node, done turn by turn as a daemon
 * does them: tests/unit/test_turns.c judges the work that was counted, bench/costs prints the time
 * that it took. */

#include <stddef.h>
#include <stdint.h>

struct turns_result {
    uint64_t datagram_work; /* most of one datagram */
    uint64_t excess;        /* most above what a datagram of its size may make */
    uint64_t turn_work;     /* most of one turn */
    uint64_t turn_excess;   /* most above the budget, what its last datagram may make set aside */
    uint64_t memory_bytes;  /* that the node's account grew to above what it had before */
    uint64_t sent;          /* datagrams */
    uint64_t datagram_ns;   /* longest, by `clock_ns` */
    uint64_t turn_ns;
};

struct turns_case {
    const char *name;
    uint64_t memory_max; /* bytes that it may make the node keep */
    struct turns_result (*run)(uint64_t (*clock_ns)(void)); /* NULL: no time is taken */
};

extern const struct turns_case turns_cases[];
extern const size_t turns_cases_count;

#endif /* UNIT_TURNS_H */
