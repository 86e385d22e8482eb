#include "report.h"

#include <stdio.h>

void report(const unsigned char *is_prime, unsigned long limit)
{
    unsigned long count = 0, last = 0;
    for (unsigned long n = 0; n <= limit; n++)
        if (is_prime[n]) {
            count++;
            last = n;
        }
    printf("%lu primes up to %lu, the last is %lu\n", count, limit, last);
}
