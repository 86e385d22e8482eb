#ifndef REPORT_H
#define REPORT_H

/* Prints how many primes there are up to limit, and the last of them. */
void report(const unsigned char *is_prime, unsigned long limit);

#endif
