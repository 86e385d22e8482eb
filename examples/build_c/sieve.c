#include "sieve.h"

#include <stdlib.h>
#include <string.h>

unsigned char *sieve(unsigned long limit)
{
    unsigned char *is_prime = malloc(limit + 1);
    if (is_prime == NULL)
        return NULL;
    memset(is_prime, 1, limit + 1);
    is_prime[0] = 0;
    if (limit >= 1)
        is_prime[1] = 0;
    for (unsigned long n = 2; n * n <= limit; n++)
        if (is_prime[n])
            for (unsigned long multiple = n * n; multiple <= limit; multiple += n)
                is_prime[multiple] = 0;
    return is_prime;
}
