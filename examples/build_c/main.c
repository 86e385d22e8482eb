#include "report.h"
#include "sieve.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    unsigned long limit = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    unsigned char *is_prime = sieve(limit);
    if (is_prime == NULL) {
        fprintf(stderr, "no memory for a sieve of %lu\n", limit);
        return 1;
    }
    report(is_prime, limit);
    free(is_prime);
    return 0;
}
