
/*
 * Checks for the unit tests: the first that fails says where, and ends it.
 */


#ifndef _UNIT_H_INCLUDED_
#define _UNIT_H_INCLUDED_


#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define check(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__,      \
                    #condition);                                              \
            exit(1);                                                          \
        }                                                                     \
    } while (0)


#endif /* _UNIT_H_INCLUDED_ */
