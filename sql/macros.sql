-- Statistics that the reports share; stored in the database, so that the plain shell has them too.

-- Wilson's 95 % score interval of a share, k of n (Wilson 1927).
create macro wilson_low(k, n) as
    case when n > 0 then greatest(0.0,
        (k + 1.920729 - 1.959964 * sqrt(k * (n - k) / n::double + 0.960365)) / (n + 3.841459)) end;

create macro wilson_high(k, n) as
    case when n > 0 then least(1.0,
        (k + 1.920729 + 1.959964 * sqrt(k * (n - k) / n::double + 0.960365)) / (n + 3.841459)) end;

-- Newcombe's 95 % interval of the difference of two shares, k2 of n2 less k1 of n1: his method 10,
-- from the two Wilson intervals (Newcombe 1998).
create macro difference_low(k1, n1, k2, n2) as
    k2 / n2::double - k1 / n1::double - sqrt(
        pow(k2 / n2::double - wilson_low(k2, n2), 2)
        + pow(wilson_high(k1, n1) - k1 / n1::double, 2));

create macro difference_high(k1, n1, k2, n2) as
    k2 / n2::double - k1 / n1::double + sqrt(
        pow(wilson_high(k2, n2) - k2 / n2::double, 2)
        + pow(k1 / n1::double - wilson_low(k1, n1), 2));

-- The pooled two-proportion z of k2 of n2 against k1 of n1; 0 where nothing differs.
create macro difference_z(k1, n1, k2, n2) as
    coalesce(
        (k2 / n2::double - k1 / n1::double) / nullif(sqrt(
            (k1 + k2) / (n1 + n2)::double * (1 - (k1 + k2) / (n1 + n2)::double)
            * (1.0 / n1 + 1.0 / n2)), 0),
        0);

-- The error function's complement to 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26), for x >= 0.
create macro erfc_of(x) as
    exp(-x * x) * (
        0.254829592 / (1 + 0.3275911 * x) - 0.284496736 / pow(1 + 0.3275911 * x, 2)
        + 1.421413741 / pow(1 + 0.3275911 * x, 3) - 1.453152027 / pow(1 + 0.3275911 * x, 4)
        + 1.061405429 / pow(1 + 0.3275911 * x, 5));

-- The two-sided p-value of a standard normal z.
create macro p_of_z(z) as erfc_of(abs(z) / sqrt(2.0));
