-- What is counted, before it is gathered by item: photos that could be read and show apparel, of the
-- runs that count.
create view counted_photos as
select images.*
from images
join runs on runs.run_id = images.run_id
where runs.counted and images.status = 'ok' and images.is_apparel is distinct from false;

-- What reviewers said of labels of photos, run by run.
create view reviewed as
select corrections.image, runs.run_id, corrections.label, corrections.shown
from corrections
join runs on runs.source = corrections.source;

-- The labels of a photo: the model's tags, and above them what reviewers said.
create view photo_labels as
select tags.image, tags.run_id, tags.label
from tags
anti join (select * from reviewed where not shown) as refuted
    on refuted.image = tags.image and refuted.run_id = tags.run_id
    and refuted.label = tags.label
union all
select reviewed.image, reviewed.run_id, reviewed.label
from reviewed
anti join tags
    on tags.image = reviewed.image and tags.run_id = reviewed.run_id
    and tags.label = reviewed.label
where reviewed.shown;
