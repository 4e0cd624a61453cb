-- title: Share of each label
-- question: What is in the catalogue?
-- read: Share of all items (products, or photos without a feed) that show the label, with Wilson's
--   95 % interval. It counts what the model says, its errors included.
-- parameter: min_items = 1: leave out labels on fewer items
-- show: share low high as percent
-- plot: bars label share low high
-- empty: No photo was tagged, or none belongs to a product of the feed.

with total as (select count(*) as items from items),

counted as (select label, count(*) as items from item_labels group by label)

select
    labels.label,
    labels."group",
    coalesce(counted.items, 0) as items,
    total.items as of_items,
    coalesce(counted.items, 0) / total.items as share,
    wilson_low(coalesce(counted.items, 0), total.items) as low,
    wilson_high(coalesce(counted.items, 0), total.items) as high
from labels
cross join total
left join counted on counted.label = labels.label
where total.items > 0
    and coalesce(counted.items, 0) >= coalesce(getvariable('min_items'), 1)
order by share desc, labels.position;
