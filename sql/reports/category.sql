-- title = "Tags against the feed's own categories"
-- question = "Where do the photos disagree with the feed's categories?"
-- read = """
-- The label that sets a category apart most is its main label. An item that lacks the main label of
-- its own category and has that of another one is counted under that other; one without a category
-- is `missing` its category, and the photos suggest one. Look at the example first: the photo may
-- show more than the product, or the model may be wrong.
-- """
-- empty = "No product has a category with a label of its own, or none disagrees."
--
-- [plot]
-- kind = "bars"
-- names = ["category", "photos_say"]
-- value = "items"
--
-- [show]
-- percent = ["share"]
-- detail = ["group"]
--
-- [parameters]
-- typical = { default = 0.5, meaning = "share of a category's items that show its main label, at least" }
-- min_items = { default = 10, meaning = "leave out categories of fewer items" }

with total as (select count(*) as n from items),

label_counts as (
    select "group", label, count(*) as k
    from item_labels
    group by "group", label
),

sizes as (
    select category, count(*) as n
    from items
    where category is not null
    group by category
    having count(*) >= coalesce(getvariable('min_items'), 10)
),

shares as (
    select
        items.category,
        item_labels."group",
        item_labels.label,
        count(*) / any_value(sizes.n) as inside,
        (any_value(label_counts.k) - count(*))
            / nullif(any_value(total.n) - any_value(sizes.n), 0) as outside
    from item_labels
    join items on items.item_id = item_labels.item_id
    join sizes on sizes.category = items.category
    join label_counts
        on label_counts.label = item_labels.label
        and label_counts."group" = item_labels."group"
    cross join total
    group by items.category, item_labels."group", item_labels.label
),

mains as (
    select
        category,
        arg_max("group", (inside - outside, label, "group")) as "group",
        arg_max(label, (inside - outside, label, "group")) as label
    from shares
    where inside >= coalesce(getvariable('typical'), 0.5) and inside > 2 * coalesce(outside, 0)
    group by category
),

-- A label that is the main one of several categories says nothing between them.
telling as (
    select category, "group", label
    from mains
    qualify count(*) over (partition by "group", label) = 1
),

suggested as (
    select
        items.item_id,
        items.item,
        items.category,
        telling.category as photos_say,
        telling."group",
        telling.label
    from items
    join item_labels on item_labels.item_id = items.item_id
    join telling
        on telling.label = item_labels.label and telling."group" = item_labels."group"
),

disagreeing as (
    select suggested.*
    from suggested
    left join telling as own on own.category = suggested.category
    where suggested.category is null
        or (
            own.category is not null
            and suggested.photos_say <> suggested.category
            and not exists (
                select 1 from item_labels
                where item_labels.item_id = suggested.item_id
                    and item_labels.label = own.label
                    and item_labels."group" = own."group"))
)

select
    coalesce(disagreeing.category, 'missing') as category,
    photos_say,
    any_value(label) as label,
    any_value("group") as "group",
    count(*) as items,
    any_value(coalesce(sizes.n, (select count(*) from items where category is null))) as of_items,
    count(*) / any_value(
        coalesce(sizes.n, (select count(*) from items where category is null))) as share,
    min(item) as example
from disagreeing
left join sizes on sizes.category = disagreeing.category
group by disagreeing.category, photos_say
order by items desc, category, photos_say;
