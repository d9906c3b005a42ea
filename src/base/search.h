#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

/* Binary search. What is searched, and by what, differs from place to place; the loop does not. It
 * is a macro because it lies in the hottest ways of the store: what is compiled is the loop with
 * the comparison in it. Watched by bench/decode. */

/* From now on `from` is the first position of from..to - 1 of which `is_below` is not true, or what
 * `to` was when it is true of all.
 *
 * from, to  variables of one unsigned type, whose sum fits it; both change
 * at        name of the position in `is_below`
 * is_below  an expression, true up to some position and false from there on */
#define SEARCH_FIRST(from, to, at, is_below)             \
    while ((from) < (to)) {                              \
        const __typeof__(from) at = ((from) + (to)) / 2; \
                                                         \
        if (is_below) {                                  \
            (from) = at + 1;                             \
        } else {                                         \
            (to) = at;                                   \
        }                                                \
    }

#endif /* BASE_SEARCH_H */
