#ifndef UNIT_TEST_H
#define UNIT_TEST_H

/* What every unit test includes. cmocka.h wants these before it, in this order. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif /* UNIT_TEST_H */
