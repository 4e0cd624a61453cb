-- The labels of the items in the table `changed_items`: of all when a database is loaded, and of those
-- that reviewers said something of.
delete from all_item_labels
where item_id in (select item_id from changed_items);

-- On how many of an item's photos a label is, their part of them, and whether that makes it the
-- item's: on one photo (`union`) or on half of them (`vote`).
insert into all_item_labels
select
    tags."group",
    tags.label,
    images.item_id,
    any_value(all_items.listed_at) as listed_at,
    count(*)::integer as photos,
    count(*) / any_value(all_items.photos) as part,
    (select labels_by from settings) = 'union'
        or 2 * count(*) >= any_value(all_items.photos) as counts
from photo_labels as tags
join images on images.image = tags.image and images.run_id = tags.run_id
join all_items on all_items.item_id = images.item_id
semi join changed_items on changed_items.item_id = images.item_id
group by tags."group", tags.label, images.item_id
order by tags.label, tags."group", images.item_id;
