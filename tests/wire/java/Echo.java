package shop;

import com.amazonaws.services.lambda.runtime.events.DynamodbEvent;
import java.math.BigDecimal;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Methods that answer with what they are given: what a serializer makes of it both ways. */
public class Echo {
    public DynamodbEvent event(DynamodbEvent event) {
        return event;
    }

    public Object any(Object event) {
        return event;
    }

    public Map<String, Integer> counts(Map<String, Integer> event) {
        return event;
    }

    public Item item(Item item) {
        return item;
    }

    public List<Item> items(List<Item> items) {
        return items;
    }

    public String text(String text) {
        return text;
    }

    public int number(int number) {
        return number;
    }

    /** Which client called this. */
    public String client() {
        for (StackTraceElement frame : new Throwable().getStackTrace()) {
            if (frame.getClassName().startsWith("com.amazonaws.services.lambda.runtime.api.client.")) {
                return "AWS's";
            }
        }
        return "ours";
    }

    public void fails(Object event) {
        throw new IllegalStateException("no good");
    }

    public enum State { OPEN, PAID }

    public static class Item {
        public String name;
        private State state;
        private BigDecimal price;
        private Date made;
        private boolean isGift;
        private Boolean isOld;
        private byte[] key;
        private List<String> tags;
        private Map<String, Item> parts;
        private Optional<String> note = Optional.empty();
        private String URL;
        private Long eTag;
        private final String hidden = "hidden";

        public State getState() { return state; }
        public void setState(State state) { this.state = state; }
        public BigDecimal getPrice() { return price; }
        public void setPrice(BigDecimal price) { this.price = price; }
        public Date getMade() { return made; }
        public void setMade(Date made) { this.made = made; }
        public boolean isGift() { return isGift; }
        public void setGift(boolean gift) { isGift = gift; }
        public Boolean isOld() { return isOld; }
        public void setOld(Boolean old) { isOld = old; }
        public byte[] getKey() { return key; }
        public void setKey(byte[] key) { this.key = key; }
        public List<String> getTags() { return tags; }
        public void setTags(List<String> tags) { this.tags = tags; }
        public Map<String, Item> getParts() { return parts; }
        public void setParts(Map<String, Item> parts) { this.parts = parts; }
        public Optional<String> getNote() { return note; }
        public void setNote(Optional<String> note) { this.note = note; }
        public String getURL() { return URL; }
        public void setURL(String url) { URL = url; }
        public Long geteTag() { return eTag; }
        public void seteTag(Long tag) { eTag = tag; }
    }
}
