/* What this file tests: queues of plain peers in order of their time. */

#include "base/random.h"
#include "node/agenda.h"
#include "node/queue.h"

#include "unit/test.h"

enum { QUEUES = 100 };

struct fixture {
    struct mem mem;
    struct agenda agenda;
    struct plain_queue queues[QUEUES];
};

static int setup(void **state)
{
    static struct fixture fixture; /* a test program has one; cmocka runs tests in sequence */

    fixture = (struct fixture){ .agenda = { .count = 0 } };
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    agenda_clear(&fixture->agenda, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static void test_agenda_gives_queues_in_order_of_their_time(void **state)
{
    struct fixture *fixture = *state;
    uint64_t last_us = 0;

    assert_true(agenda_reserve(&fixture->agenda, &fixture->mem, QUEUES));
    for (unsigned i = 0; i < QUEUES; i++) {
        agenda_set(&fixture->agenda, &fixture->queues[i], i * 37 % QUEUES + 1);
        agenda_audit(&fixture->agenda);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        struct plain_queue *first = agenda_first(&fixture->agenda);

        assert_non_null(first);
        assert_true(first->due_us > last_us);
        last_us = first->due_us;
        agenda_set(&fixture->agenda, first, UINT64_MAX);
        agenda_audit(&fixture->agenda);
    }
    assert_null(agenda_first(&fixture->agenda));
}

/* Against what a walk over all of them finds. */
static void test_agenda_follows_every_change_of_time(void **state)
{
    struct fixture *fixture = *state;
    struct random random;

    random_seed(&random, 5, 1);
    assert_true(agenda_reserve(&fixture->agenda, &fixture->mem, QUEUES));
    for (unsigned i = 0; i < QUEUES; i++) {
        fixture->queues[i].due_us = UINT64_MAX;
    }
    for (unsigned step = 0; step < 20000; step++) {
        struct plain_queue *queue = &fixture->queues[random_below(&random, QUEUES)];
        uint64_t least_us = UINT64_MAX;

        agenda_set(&fixture->agenda, queue,
                   random_below(&random, 3) == 0 ? UINT64_MAX : random_below(&random, 1000));
        agenda_audit(&fixture->agenda);
        for (unsigned i = 0; i < QUEUES; i++) {
            const uint64_t due_us = fixture->queues[i].due_us;

            assert_int_equal(fixture->queues[i].place != 0, due_us != UINT64_MAX);
            least_us = due_us < least_us ? due_us : least_us;
        }
        queue = agenda_first(&fixture->agenda);
        assert_true((queue == NULL ? UINT64_MAX : queue->due_us) == least_us);
    }
}

static void test_agenda_without_memory_stays_as_it_was(void **state)
{
    struct fixture *fixture = *state;

    assert_true(agenda_reserve(&fixture->agenda, &fixture->mem, 10));
    agenda_set(&fixture->agenda, &fixture->queues[0], 7);
    fixture->mem.fail_countdown = 1;
    assert_false(agenda_reserve(&fixture->agenda, &fixture->mem, 1000));
    assert_true(agenda_reserve(&fixture->agenda, &fixture->mem, 10));
    agenda_audit(&fixture->agenda);
    assert_ptr_equal(agenda_first(&fixture->agenda), &fixture->queues[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_agenda_gives_queues_in_order_of_their_time),
        TEST(test_agenda_follows_every_change_of_time),
        TEST(test_agenda_without_memory_stays_as_it_was),
    };

    return cmocka_run_group_tests_name("agenda", tests, NULL, NULL);
}
