-- Statistics that the reports share; stored in the database, so that the plain shell has them too.

-- Wilson's 95 % score interval of a share, k of n (Wilson 1927). It reaches 0 and 1 exactly, so that
-- rounding never puts a share outside its interval. 1.96... is z; the other numbers are z^2 / 2,
-- z^2 / 4 and z^2.
create macro wilson_low(k, n) as
    case
        when n > 0 and k = 0 then 0.0::double
        when n > 0 then (
            k + 1.920729410347062 - 1.959963984540054 * sqrt(
                k::double * (n - k) / n + 0.960364705173531)
        ) / (n + 3.841458820694124)
    end;

create macro wilson_high(k, n) as
    case
        when n > 0 and k = n then 1.0::double
        when n > 0 then (
            k + 1.920729410347062 + 1.959963984540054 * sqrt(
                k::double * (n - k) / n + 0.960364705173531)
        ) / (n + 3.841458820694124)
    end;

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

-- The change of the log-odds from k1 of n1 to k2 of n2, half an item added to each count, so that
-- none is zero (Haldane 1956; Anscombe 1956).
create macro log_odds_change(k1, n1, k2, n2) as
    ln((k2 + 0.5) / (n2 - k2 + 0.5)) - ln((k1 + 0.5) / (n1 - k1 + 0.5));

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

-- How many items with all or none of their photos would tell as much as n items whose parts add up
-- to `parts`, and the squares of them to `squares`.
create macro effective_items(parts, squares, n) as
    coalesce(
        parts * (n - parts) / nullif(n * squares - parts * parts, 0) * n,
        n::double);

-- Whether counts on the validation split allow a correction: the lower 95 % limit (Newcombe 1998) of
-- sensitivity + specificity - 1 (Youden 1950) is above 0.1.
create macro can_correct(tp, fp, fn, tn) as
    tp + fn > 0 and fp + tn > 0
    and coalesce(difference_low(fp, fp + tn, tp, tp + fn), 0) > 0.1;

-- The share that truly has a label, from the share that a classifier says has it (Rogan and Gladen
-- 1978), with the 95 % interval of Lang and Reiczigel 2014, which also counts what the validation
-- split leaves open. 3.84... is z^2. Null where no correction is possible.
create macro adjusted_sensitivity(tp, fn) as (tp + 1) / (tp + fn + 2);

create macro adjusted_specificity(fp, tn) as (tn + 1) / (tn + fp + 2);

create macro youden(tp, fp, fn, tn) as
    adjusted_sensitivity(tp, fn) + adjusted_specificity(fp, tn) - 1;

create macro adjusted_seen(x, n) as (x + 1.920729410347062) / (n + 3.841458820694124);

create macro adjusted_share(x, n, tp, fp, fn, tn) as
    (adjusted_seen(x, n) + adjusted_specificity(fp, tn) - 1) / youden(tp, fp, fn, tn);

create macro corrected_shift(x, n, tp, fp, fn, tn) as
    7.682917641388248 * (
        adjusted_share(x, n, tp, fp, fn, tn)
        * adjusted_sensitivity(tp, fn) * (1 - adjusted_sensitivity(tp, fn)) / (tp + fn + 2)
        - (1 - adjusted_share(x, n, tp, fp, fn, tn))
        * adjusted_specificity(fp, tn) * (1 - adjusted_specificity(fp, tn)) / (tn + fp + 2));

create macro corrected_error(x, n, tp, fp, fn, tn) as
    sqrt(
        adjusted_seen(x, n) * (1 - adjusted_seen(x, n)) / (n + 3.841458820694124)
        + pow(adjusted_share(x, n, tp, fp, fn, tn), 2)
        * adjusted_sensitivity(tp, fn) * (1 - adjusted_sensitivity(tp, fn)) / (tp + fn + 2)
        + pow(1 - adjusted_share(x, n, tp, fp, fn, tn), 2)
        * adjusted_specificity(fp, tn) * (1 - adjusted_specificity(fp, tn)) / (tn + fp + 2)
    ) / youden(tp, fp, fn, tn);

create macro corrected_low(x, n, tp, fp, fn, tn) as
    case when n > 0 and can_correct(tp, fp, fn, tn) then
        greatest(0, least(1,
            adjusted_share(x, n, tp, fp, fn, tn) + corrected_shift(x, n, tp, fp, fn, tn)
            - 1.959963984540054 * corrected_error(x, n, tp, fp, fn, tn)))
    end;

create macro corrected_high(x, n, tp, fp, fn, tn) as
    case when n > 0 and can_correct(tp, fp, fn, tn) then
        greatest(0, least(1,
            adjusted_share(x, n, tp, fp, fn, tn) + corrected_shift(x, n, tp, fp, fn, tn)
            + 1.959963984540054 * corrected_error(x, n, tp, fp, fn, tn)))
    end;

create macro corrected_share(x, n, tp, fp, fn, tn) as
    case when n > 0 and can_correct(tp, fp, fn, tn) then
        greatest(
            corrected_low(x, n, tp, fp, fn, tn),
            least(
                corrected_high(x, n, tp, fp, fn, tn),
                (x / n + tn / (tn + fp) - 1) / (tp / (tp + fn) + tn / (tn + fp) - 1)))
    end;

-- The largest of the p-values that are discoveries at a false-discovery rate of 5 %: the largest that
-- is at most its rank's part of 5 % (Benjamini and Hochberg 1995); -1 where there is none.
create macro discovery_limit(p_values) as
    coalesce(
        list_max(list_transform(
            list_sort(p_values),
            lambda p, rank: case when p <= 0.05 * rank / len(p_values) then p end)),
        -1);
