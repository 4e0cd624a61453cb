-- title = "What the model's errors do to each share"
-- question = "How much of each share is the model's error?"
-- read = """
-- `seen` is the mean over items of the part of their photos that the model gives the label;
-- `corrected` is the share that truly has it, given the model's sensitivity and specificity on its
-- validation split (Rogan and Gladen 1978), with the interval of Lang and Reiczigel 2014, which
-- also counts how few photos those two rest on. `why_not` says where no correction is possible. It
-- holds as far as the model errs on the catalogue as it did on the validation split.
-- """
-- empty = "No photo was tagged, or none belongs to a product of the feed."
--
-- [plot]
-- kind = "bars"
-- names = ["label"]
-- value = "corrected"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["seen", "corrected", "low", "high", "sensitivity", "specificity"]
-- detail = ["group", "tp", "fp", "fn", "tn"]

with total as (select count(*) as n from items),

counted as (
    select
        labels.*,
        total.n,
        coalesce(parts, 0) as x,
        effective_items(coalesce(parts, 0), coalesce(squares, 0), total.n) as m
    from chosen_labels as labels
    cross join total
    left join label_totals as totals
        on totals.label = labels.label and totals."group" = labels."group"
    where total.n > 0
)

select
    label,
    "group",
    round(x, 1) as items,
    n as of_items,
    x / n as seen,
    corrected_share(x * m / n, m, tp, fp, fn, tn) as corrected,
    corrected_low(x * m / n, m, tp, fp, fn, tn) as low,
    corrected_high(x * m / n, m, tp, fp, fn, tn) as high,
    sensitivity,
    specificity,
    tp + fn as validated_with,
    fp + tn as validated_without,
    tp,
    fp,
    fn,
    tn,
    case
        when tp is null then 'not validated'
        when tp + fn = 0 then 'no photo with it in validation'
        when fp + tn = 0 then 'no photo without it in validation'
        when not can_correct(tp, fp, fn, tn)
            then 'hardly better than chance in validation'
    end as why_not
from counted
order by corrected desc nulls last, seen desc, position;
