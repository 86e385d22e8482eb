#ifndef SIEVE_H
#define SIEVE_H

/* Marks the primes up to limit in a new array of limit + 1 bytes; NULL when there is no memory. */
unsigned char *sieve(unsigned long limit);

#endif
