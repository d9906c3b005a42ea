/* What this file tests: no datagram and no turn makes a node do more than its share of work,
 * whatever the store holds and however many peers there are. Judged by counted work. */

#include "node/node.h"
#include "node/work.h"

#include "unit/test.h"
#include "unit/turns.h"

/* What a turn may do beyond its budget: what leaves has its share however much came in, and a step
 * that has begun is finished. */
#define TURN_EXCESS_MAX (NODE_EMIT_WORK_MIN + NODE_PEERS_MAX)

static void test_turns_stay_within_what_is_counted(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < turns_cases_count; i++) {
        const struct turns_result result = turns_cases[i].run(NULL);

        if (result.excess > 0 || result.turn_excess > TURN_EXCESS_MAX || result.sent == 0
            || result.memory_bytes > turns_cases[i].memory_max) {
            wrong++;
        }
        print_message("%-18s datagram %6llu (+%llu) turn %6llu (+%llu) memory %9llu sent %llu\n",
                      turns_cases[i].name, (unsigned long long)result.datagram_work,
                      (unsigned long long)result.excess, (unsigned long long)result.turn_work,
                      (unsigned long long)result.turn_excess,
                      (unsigned long long)result.memory_bytes, (unsigned long long)result.sent);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_stay_within_what_is_counted),
    };

    return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
